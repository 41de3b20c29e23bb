"""Elements in words: weights, inputs, partial sums and final outputs take as many words as their bits.

One element takes bits / word_bits words of a level. Which outputs are final follows from the mapping:

- The last update of an output at a level is final, unless instances outside it add to the same output; then
  the level only ever has partial sums. At the outermost level there is nobody outside.
- All other updates, and all reads and fills of outputs, are of partial sums.
- A tile holds final outputs if every output is updated once only, and that update is final.

Shapes: n is the candidate axis; levels are innermost first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.traffic import OUTPUTS, C, R, Row, S, product
from armillary.hardware.bits import ROLES
from armillary.hardware.technology import operation_pj

_WEIGHT, _INPUT, _SUM, _OUTPUT = range(len(ROLES))


@dataclass(frozen=True)
class Widths:
    """Words that elements take at one level, one tensor [n] per role; 1 where an element is a word."""

    weight: Tensor
    input: Tensor
    sum: Tensor
    output: Tensor

    def moved(self, accesses: tuple[Row, ...], final: Tensor) -> tuple[Row, ...]:
        """Return accesses in words, per tensor; `final` of the updates are of final outputs."""
        weights, inputs, (reads, fills, updates) = accesses
        # The difference of the widths comes second, so that equal ones leave the product as it is.
        written = updates * self.sum + final * (self.output - self.sum)
        return (
            tuple(count * self.weight for count in weights),
            tuple(count * self.input for count in inputs),
            (reads * self.sum, fills * self.sum, written),
        )

    def held(self, tile: Row, only_final: Tensor) -> Row:
        """Return a tile in words, per tensor."""
        weights, inputs, outputs = tile
        return weights * self.weight, inputs * self.input, outputs * torch.where(only_final, self.output, self.sum)


def widths(hierarchies: HierarchyBatch, layers: LayerBatch) -> list[Widths]:
    """Return the widths of every level."""
    bits = torch.where(layers.bits > 0, layers.bits, hierarchies.bits)
    return [Widths(*row) for row in bits / hierarchies.word_bits[:, None]]


def final_updates(own: Row, spatial: Sequence[Row], held: Tensor, turning: float) -> Row:
    """Return the updates that are of final outputs where a level holds outputs, one tensor [n] per level.

    Args:
        own: outputs that one instance of each level is in charge of.
        spatial: factors, one tensor [n] per level and dimension.
        held: which tensors each level holds, bool, shape [levels, tensors, n].
        turning: the largest spatial factor that adds up nothing; more than 1 where factors are relaxed.
    """
    adding = torch.ones_like(own[0])
    found = []
    for level in reversed(range(len(own))):
        found.append(torch.where(held[level, OUTPUTS] & (adding <= turning), own[level], 0.0))
        adding = adding * product([spatial[level][d] for d in (C, R, S)])
    return tuple(found[::-1])


def in_words(
    wide: Sequence[Widths], accesses: Sequence[tuple[Row, ...]], tiles: Sequence[Row], final: Row, turning: float
) -> tuple[list[tuple[Row, ...]], list[Row]]:
    """Return accesses and tiles, which are in elements, in words of their level; `final` of the updates are final."""
    moved = [row.moved(counts, part) for row, counts, part in zip(wide, accesses, final, strict=True)]
    only_final = [counts[OUTPUTS][-1] <= part * turning for counts, part in zip(accesses, final, strict=True)]
    return moved, [row.held(tile, only) for row, tile, only in zip(wide, tiles, only_final, strict=True)]


def with_layer_macs(hierarchies: HierarchyBatch, layers: LayerBatch) -> HierarchyBatch:
    """Return the hierarchies with the energy that a multiply-accumulate of each layer takes; the same if all are plain.

    An energy that a hierarchy gives stays as it is.
    """
    decides = torch.isfinite(layers.floating)
    if not bool((layers.bits > 0).any() or decides.any()):
        return hierarchies
    own = torch.cat([layers.bits[:3], torch.where(decides, layers.floating, 0.0)[None]])
    sets = torch.cat([layers.bits[:3] > 0, decides[None]])
    n = max(len(hierarchies), len(layers))
    rows = torch.cat([torch.where(sets, own, hierarchies.operation[:4]), hierarchies.operation[4:5].expand(1, n)])
    different, which = torch.unique(rows, dim=1, return_inverse=True)
    energies = [operation_pj(w, i, p, bool(f), node) for w, i, p, f, node in different.T.tolist()]
    of_each = torch.tensor(energies, dtype=rows.dtype, device=rows.device)[which]
    return replace(hierarchies, mac_pj=torch.where(hierarchies.operation[5] > 0, hierarchies.mac_pj, of_each))
