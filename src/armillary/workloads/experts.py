"""Mixtures of experts: how many experts run for some tokens, and on how many tokens each."""

from __future__ import annotations


def loads(tokens: int, experts: int, chosen: int) -> list[tuple[int, int]]:
    """Return groups of experts that run, each with the number of its experts and the tokens of each of them.

    Every token takes `chosen` experts, any with the same probability and independently of other tokens. One expert is
    left out by all tokens with probability (1 - chosen / experts) ** tokens, so that

        experts * (1 - (1 - chosen / experts) ** tokens)

    run in expectation; that number is rounded. All tokens * chosen rows are dealt out to them as evenly as can be. A
    trained router is less even: then fewer experts are read, and the fullest has more rows.

    Args:
        tokens: that come together, those of a whole batch.
        experts: that there are.
        chosen: experts that each token takes.
    """
    running = round(experts * (1 - (1 - chosen / experts) ** tokens))
    each, more = divmod(tokens * chosen, running)
    return [(count, rows) for count, rows in ((more, each + 1), (running - more, each)) if count]
