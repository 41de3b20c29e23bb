"""A slow, plain walk over the tiles of two fused layers that moves sets of words about and counts them.

Nothing is shared with the product: tiles are sets of coordinates, one turn of the shared loops after the other is
taken, and what was on the chip already is not fetched again. Inside a tile all is on the chip.
"""

from dataclasses import dataclass, field
from itertools import product


@dataclass
class Moved:
    """Words fetched and written outside, by layer and tensor, and words of the intermediate that are computed."""

    reads: dict = field(default_factory=dict)
    writes: dict = field(default_factory=dict)
    computed: int = 0
    needed: int = 0


def walk(producer, consumer, tiling):
    """Return what two layers move outside the chip, and the most words that are on it at once."""
    found, held, started = Moved(), {}, set()
    ranges = [range(count) for _, count in tiling.loops]
    turns = [_tiles(producer, consumer, tiling, turn) for turn in product(*ranges)]
    kept = set()
    for number, tiles in enumerate(turns):
        upcoming = turns[number + 1] if number + 1 < len(turns) else {}
        made = tiles["p", "O"] if tiling.again else tiles["p", "O"] - kept
        found.computed += len(made)
        kept = tiles["p", "O"]
        for key, words in tiles.items():
            if key == ("p", "O"):
                continue
            fetched = words & started if key == ("c", "O") else words
            if held.get(key, set()) & words:
                fetched = fetched - held[key]
            found.reads[key] = found.reads.get(key, 0) + len(fetched)
            held[key] = words
            if key == ("c", "O"):
                started |= words
                if not upcoming or not upcoming[key] & words:
                    found.writes[key] = found.writes.get(key, 0) + len(words)
        found.needed = max(found.needed, _needed(tiles, upcoming, turns[number - 1] if number else {}))
    return found


def _needed(tiles, upcoming, before):
    size = {key: len(words) for key, words in tiles.items()}
    own = {side: sum(n for key, n in size.items() if key[0] == side and key != ("p", "O")) for side in "pc"}
    stay = {
        side: sum(
            size[key]
            for key in tiles
            if key[0] == side and key != ("p", "O") and (tiles[key] & (upcoming or before).get(key, set()))
        )
        for side in "pc"
    }
    return size["p", "O"] + max(own["p"] + stay["c"], own["c"] + stay["p"])


def _tiles(producer, consumer, tiling, turn):
    at = dict(zip([loop for loop, _ in tiling.loops], turn, strict=True))
    p = _spans(producer, {loop.producer: (at[loop], count) for loop, count in tiling.loops})
    c = _spans(consumer, {loop.consumer: (at[loop], count) for loop, count in tiling.loops})
    return {
        ("p", "W"): _weights(p),
        ("p", "I"): _inputs(producer, _again(producer, consumer, tiling, p, at)),
        ("p", "O"): _inputs(consumer, c),  # what the consumer's windows take, padding included
        ("c", "W"): _weights(c),
        ("c", "O"): set(product(c["N"], c["G"], c["K"], c["P"], c["Q"])),
    }


def _again(producer, consumer, tiling, spans, at):
    """Return the spans of the producer, with the rows of a window one after the other where they are computed again."""
    if not tiling.again:
        return spans
    spans = dict(spans)
    for loop, count in tiling.loops:
        if loop.producer in "PQ":
            rows = getattr(consumer, loop.consumer) // count
            stride, taps = (
                getattr(consumer, n) for n in (("stride_h", "R") if loop.producer == "P" else ("stride_w", "S"))
            )
            window = (rows - 1) * stride + taps
            spans[loop.producer] = range(at[loop] * window, (at[loop] + 1) * window)
    return spans


def _spans(layer, tiles):
    bounds = {
        "N": layer.N, "G": layer.groups, "K": layer.K // layer.groups, "C": layer.C // layer.groups, "P": layer.P,
        "Q": layer.Q, "R": layer.R, "S": layer.S,
    }  # fmt: skip
    found = {}
    for dimension, bound in bounds.items():
        place, count = tiles.get(dimension, (0, 1))
        found[dimension] = range(place * (bound // count), (place + 1) * (bound // count))
    return found


def _weights(s):
    return set(product(s["G"], s["K"], s["C"], s["R"], s["S"]))


def _inputs(layer, s):
    rows = {p * layer.stride_h + r for p in s["P"] for r in s["R"]}
    columns = {q * layer.stride_w + t for q in s["Q"] for t in s["S"]}
    return set(product(s["N"], s["G"], s["C"], rows, columns))
