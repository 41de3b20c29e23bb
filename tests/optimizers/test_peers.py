import numpy as np
import pytest

from armillary import optimizers
from armillary.hardware.templates.spotlight import EDGE, TEMPLATE, chip_of
from armillary.optimizers.peers import LEVELS, Confuciux, hasco
from armillary.optimizers.random_search import RandomSearch
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError

FREE = Problem.minimising(EDGE)


def cost_of(codes):
    return np.array([1e6 / chip_of(design).pes for design in EDGE.designs(codes)])


def last_pes(search):
    """Return the mean PEs of the last of 45 chips of a search for many PEs within the area."""
    codes = []
    for _ in range(45):
        codes.append(search.ask_codes(1))
        search.tell_values(codes[-1], cost_of(codes[-1]))
    every = np.concatenate(codes)
    assert (TEMPLATE.area_mm2(every) <= 3.5).all()
    return (1e6 / cost_of(every))[-15:].mean()


@pytest.mark.parametrize(
    "make", [lambda problem, seed: Confuciux(problem, seed=seed, learned=25), hasco], ids=["confuciux", "hasco"]
)
def test_comes_to_ask_for_large_arrays_within_the_area(make):
    problem = TEMPLATE.problem("runtime_s", {"area_mm2": 3.5})
    found, chance = (
        np.median([last_pes(kind(problem, seed=seed)) for seed in range(3)]) for kind in (make, RandomSearch)
    )
    assert found > 1.1 * chance


def test_confuciux_learns_on_twelve_levels_then_mutates_them():
    array, lanes = EDGE.names.index("pe_array"), EDGE.names.index("simd_lanes")
    ratios = []
    for seed in range(5):
        search = Confuciux(FREE, seed=seed, learned=40)
        asked = []
        for _ in range(90):
            codes = search.ask_codes(1)
            asked.append(codes[0])
            search.tell_values(codes, cost_of(codes))
        first, last = np.array(asked[:40]), np.array(asked[40:])
        assert len(np.unique(first[:, array])) <= LEVELS
        assert len(np.unique(last[:, array])) > LEVELS
        assert (np.array(asked)[:, lanes] == EDGE.cardinalities[lanes] - 1).all()
        ratios.append(cost_of(last).mean() / cost_of(first[:20]).mean())
    assert np.median(ratios) < 0.95


def test_the_policy_of_confuciux_moves_to_what_costs_less():
    array = EDGE.names.index("pe_array")

    def large(codes):
        return codes[:, array] > EDGE.cardinalities[array] / 2

    shares = []
    for seed in range(5):
        search = Confuciux(FREE, seed=seed, learned=1000)
        asked = search.ask_codes(36)  # of 144, each once
        search.tell_values(asked, np.where(large(asked), 1.0, 3.0))
        shares.append(large(search.ask_codes(30)).mean())
    assert np.mean(shares) > 0.65  # 0.8


@pytest.mark.parametrize("name", [n for n in optimizers.names() if n.startswith(("confuciux", "hasco", "spotlight"))])
def test_another_space_is_refused(name):
    other = Problem.minimising(Space("other", (Parameter("width", (1, 2)),)))
    with pytest.raises(ArmillaryError, match="choose --template spotlight"):
        optimizers.load(name)(other, seed=0)
