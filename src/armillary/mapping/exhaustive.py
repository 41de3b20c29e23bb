"""Every mapping of a map-space that can matter, once: proof of optimality for small spaces.

Two things are left out, and neither can hide a better mapping. Whether tiles and instances fit does not
depend on the order of loops, so a split that does not fit is judged once and not once per order.
And orders that differ only in loops that do not turn are one order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.mapping.mapspace import MapSpace, numbered
from armillary.types import ArmillaryError

MOST = 200_000_000
_AT_ONCE = 16_384


class Enumeration:
    """The mappings that matter: legal splits, each with the orders that differ.

    Raises:
        ArmillaryError: if there are more than 2 x 10^8 splits, or mappings that matter.
    """

    def __init__(self, space: MapSpace) -> None:
        self.space = space
        levels = len(space.levels)
        self._orders = slice(len(DIMENSIONS), len(DIMENSIONS) + levels)
        sizes = space.sizes.copy()
        sizes[self._orders] = 1
        self._sizes = sizes
        self._known: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._check(int(np.prod(sizes.astype(float))), "splits")
        self.legal = self._legal()
        self.size = sum(int(np.prod([len(o) for o in self._choices(code)], dtype=float)) for code in self.legal)
        self._check(self.size, "legal mappings")

    def _check(self, count: int, what: str) -> None:
        if count > MOST:
            raise ArmillaryError(
                f"{self.space!r}, with {count:,} {what}, are too many to exhaust; at most {MOST:,} are, bound them "
                "with the levels' rules"
            )

    def _legal(self) -> NDArray[np.int64]:
        """Return the codes of the splits that fit, with the first order everywhere, shape [n, codes]."""
        chip, layer = HierarchyBatch.of([self.space.hierarchy]), LayerBatch.of([self.space.layer])
        found = [np.empty((0, len(self._sizes)), dtype=np.int64)]
        total = int(np.prod(self._sizes))
        for first in range(0, total, _AT_ONCE):
            codes = numbered(self._sizes, first, min(first + _AT_ONCE, total))
            fits = summaries(chip, layer, self.space.decode(codes)).feasible.numpy()
            found.append(codes[fits])
        return np.concatenate(found)

    def _choices(self, code: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return, per level, the order codes that differ for this split."""
        return [self._differing(level, self._turning(code, level)) for level in range(len(self.space.levels))]

    def _turning(self, code: NDArray[np.int64], level: int) -> int:
        """Return which dimensions have a temporal loop that turns at a level, one bit each."""
        mask = 0
        for d, splits in enumerate(self.space.splits):
            slots = [i for i, slot in enumerate(splits.slots) if slot.level == level and slot.kind == 0]
            if slots and splits.factors[code[d], slots[0]] > 1:
                mask |= 1 << d
        return mask

    def _differing(self, level: int, mask: int) -> NDArray[np.int64]:
        known = self._known.get((level, mask))
        if known is None:
            turning = [d for d in range(len(DIMENSIONS)) if mask >> d & 1]
            relative = self.space.orders[level][:, turning].argsort(axis=1)
            known = (
                np.sort(np.unique(relative, axis=0, return_index=True)[1]) if turning else np.zeros(1, dtype=np.int64)
            )
            self._known[level, mask] = known
        return known

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """Yield the codes of all mappings that matter, shape [n, codes]."""
        pending: list[NDArray[np.int64]] = []
        count = 0
        for code in self.legal:
            orders = np.array(list(product(*self._choices(code))), dtype=np.int64)
            codes = np.repeat(code[None], len(orders), axis=0)
            codes[:, self._orders] = orders
            pending.append(codes)
            count += len(codes)
            if count >= _AT_ONCE:
                yield np.concatenate(pending)
                pending, count = [], 0
        if pending:
            yield np.concatenate(pending)
