import numpy as np
import pytest

from armillary import optimizers
from armillary.hardware.templates.spotlight import EDGE, TEMPLATE, chip_of
from armillary.optimizers.codesign import LEVELS
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Objective


def cost_of(codes):
    return np.array([1e6 / chip_of(design).pes for design in EDGE.designs(codes)])


@pytest.mark.parametrize("name", ["confuciux", "hasco"])
def test_finds_large_arrays_within_the_area(name):
    search = optimizers.load(name)(space=EDGE, objective=Objective("runtime_s"), seed=0)
    search.within = lambda codes: TEMPLATE.area_mm2(codes) <= 3.5
    for _ in range(60):
        codes = search.ask_codes(1)
        assert (TEMPLATE.area_mm2(codes) <= 3.5).all()
        search.tell_batch(codes, cost_of(codes))
    assert search.best_value < 1e6 / 250


def test_confuciux_learns_on_twelve_levels_then_mutates_them():
    search = optimizers.load("confuciux")(space=EDGE, objective=Objective("runtime_s"), seed=0, learned=40)
    array = EDGE.names.index("pe_array")
    asked = []
    for _ in range(90):
        codes = search.ask_codes(1)
        asked.append(codes[0])
        search.tell_batch(codes, cost_of(codes))
    first, last = np.array(asked[:40]), np.array(asked[40:])
    assert len(np.unique(first[:, array])) <= LEVELS
    assert len(np.unique(last[:, array])) > LEVELS
    lanes = EDGE.names.index("simd_lanes")
    assert (np.array(asked)[:, lanes] == EDGE.cardinalities[lanes] - 1).all()
    assert cost_of(last).mean() < cost_of(first[:20]).mean()


@pytest.mark.parametrize("name", ["confuciux", "hasco", "spotlight"])
def test_another_space_is_refused(name):
    other = Space("other", (Parameter("width", (1, 2)),))
    with pytest.raises(ArmillaryError, match="choose --template spotlight"):
        optimizers.load(name)(space=other, objective=Objective("runtime_s"), seed=0)
