"""Where the energy of layers goes, level by level."""

import pytest

from armillary.cost_model import evaluate
from armillary.evaluators.hierarchical import energy_parts
from armillary.types import Design, LayerRun
from cost_model.test_memories import LAYER, UNEVEN, chip


def test_both_parts_of_a_memory_are_one_share_of_the_energy():
    run = LayerRun(Design("h", ()), LAYER, str(UNEVEN), {}, None, 3)
    parts = energy_parts([(chip(), run)])
    assert sorted(parts) == ["Buf", "DRAM", "MAC"]
    costs = evaluate(chip(), LAYER, UNEVEN)
    assert parts["Buf"] == pytest.approx(3 * float(costs.access_energy_pj[:2].sum()))
    assert sum(parts.values()) == pytest.approx(3 * costs.energy_pj.item())
