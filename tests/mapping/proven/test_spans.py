"""Halving a map-space by how far its levels spread the dimensions."""

import numpy as np

from armillary.hardware.hierarchy import Hierarchy, Level, LoopRules
from armillary.mapping.genes import GeneSpace
from armillary.mapping.proven.rounds import rounds_of
from armillary.mapping.proven.spans import halves
from armillary.workloads.layer import Layer

FANOUT = np.array([[1, 1], [1, 1], [6, 1]], dtype=float)
CHIP = Hierarchy(
    name="h",
    levels=(
        Level(name="DRAM", kind="dram", fanout=(6, 1), rules=LoopRules(spatial_x="KP", spatial_y="")),
        Level(name="Buffer", capacity_words=64),
        Level(name="Reg", keeps="W", capacity_words=4),
    ),
)


def rounds(**bounds):
    return rounds_of(GeneSpace(CHIP, Layer("g", "gemm", **bounds)))


def instances(part, k):
    """Return what the outermost level gives a dimension, in every option."""
    o = part.options
    some = slice(o.first[-1, k, 0], o.first[-1, k, -1])
    return set((o.along_x[some] * o.along_y[some]).tolist())


def test_halves_share_out_the_widest_range():
    whole = rounds(K=8, P=5, C=3)
    few, many = halves(whole, FANOUT)
    (cut,) = [k for k in range(3) if instances(few, k) != instances(whole, k)]
    assert instances(few, cut) | instances(many, cut) == instances(whole, cut)
    assert max(instances(few, cut)) < min(instances(many, cut))


def test_what_one_dimension_takes_is_lost_to_the_other():
    whole = rounds(K=8, P=5, C=3)
    k, p = (whole.dims.tolist().index(d) for d in (1, 3))
    _, many = halves(whole, FANOUT)
    assert min(instances(many, k)) == 3  # 1 and 6 have the mean 2.4
    assert instances(many, p) == {1, 2}


def test_a_part_with_nothing_to_choose_has_no_halves():
    part, seen = rounds(K=8, C=3), 0
    while smaller := halves(part, FANOUT):
        part, seen = smaller[-1], seen + 1
    assert instances(part, part.dims.tolist().index(1)) == {6}
    assert 0 < seen < 4


def test_a_half_without_a_mapping_is_left_out():
    level = CHIP.levels[0]
    fixed = level.rules.model_copy(update={"temporal": "P"})  # K = 2 must lie on the mesh, with P beside it
    chip = CHIP.model_copy(update={"levels": (level.model_copy(update={"rules": fixed}), *CHIP.levels[1:])})
    inner = [one.model_copy(update={"rules": LoopRules(temporal="P")}) for one in CHIP.levels[1:]]
    chip = chip.model_copy(update={"levels": (chip.levels[0], *inner)})
    parts = halves(rounds_of(GeneSpace(chip, Layer("g", "gemm", K=2, P=6))), FANOUT)
    assert all(len(part.options.inside) for part in parts)
    assert all(2 in instances(part, part.dims.tolist().index(1)) for part in parts)
