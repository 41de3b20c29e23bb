"""What Polaris is compared with, on small networks; the analytical evaluator's other delay stands for RTL."""

import numpy as np
import pytest

from armillary.optimizers import polaris as module
from armillary.optimizers import polaris_rivals
from armillary.optimizers.polaris import Polaris, PolarisRandom
from armillary.optimizers.polaris_rivals import PolarisOffline, PolarisPaced, PolarisSpotlight
from armillary.problems.outcomes import Outcomes
from armillary.studies.layer_source import AnalyticalSource
from armillary.types import ArmillaryError, Candidate
from optimizers.test_polaris import BOUND, NET, OfPolaris, Slow, problem, searched

SOURCE = AnalyticalSource("gemmini")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer points and mappings than in earnest."""
    for name, value in {"_POINTS": 6, "_SCOUTS": 2, "_DRAWN": 64, "_KEPT": 16, "_SEARCHED": 100}.items():
        monkeypatch.setattr(module, name, value)
    for name, value in {"POINTS_NEAR": 2, "SCOUTED": 16}.items():
        monkeypatch.setattr(module, name, value)
        monkeypatch.setattr(polaris_rivals, name, value)


class TestPolarisPaced(OfPolaris):
    kind = PolarisPaced


def learned(optimizer, evaluator):
    """Tell an optimizer of designs of all sizes."""
    known = PolarisRandom(problem(), layers=SOURCE, software=1, seed=5).ask(24)
    optimizer.tell(known, Outcomes.of_each(evaluator.evaluate(known, NET)))
    return optimizer


def test_offline_learns_from_its_random_designs_and_then_no_more(monkeypatch):
    optimizer = PolarisOffline(problem(), layers=SOURCE, software=2, training=3)
    told = []
    monkeypatch.setattr(optimizer._model, "tell", told.extend)
    asked = searched(optimizer, BOUND, 6)
    assert len(told) == 3 * len(NET.layers)
    assert len({one.design for one in asked[:3]}) == 3
    assert asked[3].design == asked[4].design
    assert len(optimizer.recombined()) == len({one.design for one in asked})


def test_offline_asks_across_the_border():
    assert len(PolarisOffline(problem(), layers=SOURCE, training=2).ask(5)) == 5


def test_spotlights_model_learns_from_nothing_but_what_it_is_told():
    fresh = PolarisSpotlight(problem(), layers=SOURCE, seed=1)
    assert not fresh._model.informed
    (choice,) = learned(PolarisSpotlight(problem(), layers=SOURCE, seed=1), Slow()).ask(1)
    assert choice.design["dim"] != 32  # a hundred times slower there


def test_spotlights_delays_are_in_cycles():
    optimizer = learned(PolarisSpotlight(problem(), layers=SOURCE), BOUND)
    design = PolarisRandom(problem(), layers=SOURCE, software=1, seed=9).ask(1)[0].design
    (choices, *_) = optimizer._model.choices(design, [NET.layers[0].layer], drawn=16, kept=16)
    told = optimizer._model.expected(choices, 0.6827)
    truth = np.array([run.metrics["delay_cycles"] for _, run in sorted(BOUND.run_mapped(choices.mapped))])
    assert abs(np.median(np.log(told.delay / truth))) < 1.0
    assert (told.spread > 0).all()
    assert (told.energy > 1e3).all()


def test_a_warm_start_is_known_before_the_first_choice():
    others = [run for e in Slow().evaluate(PolarisRandom(problem(), layers=SOURCE, software=1).ask(24), NET)
              for run in e.layers]  # fmt: skip
    for kind in (Polaris, PolarisSpotlight):
        optimizer = kind(problem(), layers=SOURCE, seed=1)
        optimizer.learn(others)
        assert optimizer.ask(1)[0].design["dim"] != 32
        assert optimizer.recombined() == []


def test_several_are_chosen_before_any_is_known():
    optimizer = Polaris(problem(), layers=SOURCE, together=4, software=6)
    assert optimizer.asks_after(0) == 4
    asked = optimizer.ask(4)
    assert len({one.design for one in asked}) == 1
    for use in NET.layers:
        assert len({one.mappings[use.layer.name] for one in asked}) == 4


@pytest.mark.parametrize(
    "name", ["thompson", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ucb", "ei", "log-ei", "mean"))]
)
def test_every_acquisition_function_finds_what_the_prior_gets_wrong(name):
    """The default, `ucb`, is quickly tested with Polaris itself."""
    optimizer = learned(Polaris(problem(), layers=SOURCE, seed=1, acquisition=name), Slow())
    assert optimizer.ask(1)[0].design["dim"] != 32


def test_unknown_acquisition_functions_are_refused():
    with pytest.raises(ArmillaryError, match="'best' is unknown"):
        Polaris(problem(), layers=SOURCE, acquisition="best")


def test_starlight_is_fitted_on_a_single_design_too():
    """As in a search for mappings alone: there is no second design at which to fit it."""
    optimizer = Polaris(problem(), layers=SOURCE, software=20)
    searched(optimizer, BOUND, 8)
    assert optimizer._model._model is not None


def test_a_pace_judges_more_designs_while_they_bring_more_than_a_simulation(monkeypatch):
    paced = {}
    for rate in (0.0, 1e9):
        optimizer = PolarisPaced(problem(), layers=SOURCE, seed=2)
        monkeypatch.setattr(optimizer, "_rate_of_simulation", lambda _designs, rate=rate: rate)
        optimizer.ask(1)
        paced[rate] = len(optimizer._scouted)
    plain = Polaris(problem(), layers=SOURCE, seed=2)
    plain.ask(1)
    assert len(plain._scouted) <= paced[1e9] <= paced[0.0]


def test_a_simulation_that_may_save_more_is_worth_more_a_second():
    optimizer = learned(PolarisPaced(problem(), layers=SOURCE), BOUND)
    designs = optimizer._table.codes[::200]
    optimizer.best_value = 1e12
    low = optimizer._rate_of_simulation(designs)
    optimizer.best_value = 1e15
    assert optimizer._rate_of_simulation(designs) > low >= 0
    optimizer._software = 12
    assert optimizer._rate_of_simulation(designs) == pytest.approx(
        0.5 * _with_software(optimizer, designs, 6), rel=1e-6
    )


def _with_software(optimizer, designs, software):
    optimizer._software = software
    return optimizer._rate_of_simulation(designs)


def test_seconds_are_minimised_with_the_clock_of_the_design():
    cycles, seconds = (Polaris(problem(metric), layers=SOURCE, seed=1) for metric in ("delay_cycles", "runtime_s"))
    for code in cycles._table.codes[[10, 4000]]:
        clock = BOUND.evaluate([_whole(code)], NET)[0].metrics
        shift = cycles._network_on(code)[0] - seconds._network_on(code)[0]
        assert shift == pytest.approx(np.log(clock["delay_cycles"] / clock["runtime_s"]), rel=1e-6)


def _whole(code):
    return Candidate(problem().space.design(code))
