"""Every mapping of a map-space that can matter, once: proof of optimality for small spaces.

Two things are left out, and neither can hide a better mapping. Whether tiles and instances fit does not
depend on the order of loops, so a split that does not fit is judged once and not once per order.
And orders that differ only in loops that do not turn are one order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, permutations, product
from math import prod

import numpy as np

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.mapping.genes import Genes
from armillary.mapping.judge import Judge
from armillary.mapping.walk import TEMPORAL
from armillary.types import ArmillaryError

MOST = 200_000_000
_AT_ONCE = 16_384
_MOST_SPLITS = 2_000_000


class Enumeration:
    """The mappings that matter: legal splits, each with the orders that differ.

    Args:
        judge: of the space; splits that do not fit are judged by it.

    Raises:
        ArmillaryError: if there are more than 2 x 10^8 combinations of splits.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge, self.space = judge, judge.space
        self._splits = [self._splits_of(d) for d in range(len(DIMENSIONS))]
        self._keeps = self.space.keeps()
        self._orders = self.space.slots, self.space.slots + len(self.space.levels) * len(DIMENSIONS)
        count = prod(map(len, self._splits)) * len(self._keeps)
        if count > MOST:
            raise ArmillaryError(
                f"layer {self.space.layer.name} on {self.space.hierarchy.name} has {count:,} ways to split its loops, "
                f"too many to exhaust; at most {MOST:,} are, bound them with the levels' rules, or ask for perfect "
                "factors only"
            )

    def _splits_of(self, d: int) -> list[tuple[int, ...]]:
        """Return every way to split a dimension over its slots, innermost first."""
        rules, bound = self.space.rules, self.space.bounds[DIMENSIONS[d]]
        slots = range(int(rules.first[d]), int(rules.first[d + 1]))
        if bound == 1:
            return [(1,) * len(slots)]
        found: list[tuple[tuple[int, ...], int, int]] = [((), bound, 1)]
        for slot in slots:
            last = slot == slots[-1]
            longer: list[tuple[tuple[int, ...], int, int]] = []
            for factors, left, inside in found:
                most = min(left, int(rules.most[slot]), int(rules.reach[slot]) // inside)
                fixed = int(rules.fixed[slot])
                for factor in [left] if last else [fixed] if fixed else range(1, most + 1):
                    if factor > most or (fixed and factor != fixed) or (rules.perfect and left % factor):
                        continue
                    longer.append(((*factors, factor), -(-left // factor), min(inside * factor, bound)))
            found = longer
            if len(found) > _MOST_SPLITS:
                raise ArmillaryError(
                    f"layer {self.space.layer.name}: {DIMENSIONS[d]}={bound} splits in more than {_MOST_SPLITS:,} "
                    "ways; bound them with the levels' rules, or ask for perfect factors only"
                )
        return [factors for factors, left, _ in found if left == 1]

    def batches(self) -> Iterator[Genes]:
        """Yield all mappings that matter, shape [n, width]; ends early when the judge's time is over."""
        pending: list[Genes] = []
        count = 0
        for gene in self._legal():
            genes = self._ordered(gene)
            pending.append(genes)
            count += len(genes)
            if count >= _AT_ONCE:
                yield np.concatenate(pending)
                pending, count = [], 0
        if pending:
            yield np.concatenate(pending)

    def _legal(self) -> Iterator[Genes]:
        """Yield the splits that fit, with the first order everywhere, shape [width]."""
        first = self.space.outermost()[0]
        choices = product(*self._splits, self._keeps)
        while chunk := list(islice(choices, _AT_ONCE)):
            genes = np.repeat(first[None], len(chunk), axis=0)
            dims = len(DIMENSIONS)
            genes[:, : self._orders[0]] = [[f for split in row[:dims] for f in split] for row in chunk]
            genes[:, self._orders[1] :] = [row[dims] for row in chunk]
            fits = np.isfinite(self._judge.judge(genes).scores)
            yield from genes[fits]
            if self._judge.over_time:
                return

    def _ordered(self, gene: Genes) -> Genes:
        """Return a split with all orders that differ, shape [orders, width]."""
        rules, dims = self.space.rules, len(DIMENSIONS)
        slots = np.flatnonzero((rules.kind == TEMPORAL) & (gene[: self.space.slots] > 1))
        of_slot = np.repeat(np.arange(dims), np.diff(rules.first))
        orders = []
        for level in range(len(self.space.levels)):
            turning = {int(of_slot[slot]) for slot in slots if rules.level[slot] == level}
            held, count = int(rules.held[level]), int(rules.turning[level])
            order = rules.order[level].tolist()
            free = [d for d in order[held:count] if d in turning]
            rest = [d for d in order[held:count] if d not in turning]
            orders.append([(*order[:held], *way, *rest, *order[count:]) for way in permutations(free)])
        ways = [[d for level in way for d in level] for way in product(*orders)]
        genes = np.repeat(gene[None], len(ways), axis=0)
        genes[:, self._orders[0] : self._orders[1]] = ways
        return genes
