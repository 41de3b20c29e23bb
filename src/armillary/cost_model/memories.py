"""What levels that are parts of one memory share: its room and its ports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch
from armillary.cost_model.kernel.nest import WHOLE
from armillary.cost_model.traffic import Row

READS, FILLS, UPDATES = range(3)


def rounded_up(amounts: Tensor) -> Tensor:
    """Return whole blocks or cycles; what double precision adds to a whole number makes no further one."""
    return torch.ceil(amounts * WHOLE)


def with_parts(each: Sequence[Tensor], hierarchies: HierarchyBatch) -> list[Tensor]:
    """Return a number of each level, shape [n], with that of the inner part of its memory added."""
    found = [each[0]]
    for level in range(1, len(each)):
        found.append(each[level] + hierarchies.part[level - 1] * each[level - 1])
    return found


def bandwidth_cycles(words: Sequence[tuple[Row, ...]], hierarchies: HierarchyBatch, relaxed: bool) -> list[Tensor]:
    """Return the cycles that each level's bandwidth allows, shape [n] each.

    Args:
        words: read, filled and updated per instance: by level and tensor a row of the three kinds.
        hierarchies: with the bandwidths.
        relaxed: whether cycles stay fractions.
    """
    every_read = [reduce(torch.add, [kinds[READS] for kinds in of_level]) for of_level in words]
    every_write = [reduce(torch.add, [kinds[k] for kinds in of_level for k in (FILLS, UPDATES)]) for of_level in words]
    found = []
    for level, (reads, writes) in enumerate(
        zip(with_parts(every_read, hierarchies), with_parts(every_write, hierarchies), strict=True)
    ):
        cycles = torch.maximum(reads / hierarchies.read_bandwidth[level], writes / hierarchies.write_bandwidth[level])
        cycles = torch.maximum(cycles, (reads + writes) / hierarchies.shared_bandwidth[level])
        found.append(cycles if relaxed else rounded_up(cycles))
    return found
