import csv
from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE, area_mm2
from armillary.problems.criteria import Bound, Objective
from armillary.problems.pareto import front
from armillary.spaces.samplers import sample
from armillary.studies.fronts import front_of, propose_front, write_front
from armillary.testing.optimizers import evaluation
from armillary.types import ArmillaryError, Evaluations, Prediction
from armillary.workloads import zoo
from armillary.workloads.context import context_of

CONTEXT = context_of(zoo.build("mobilenet_v2"))
TRADE = TEMPLATE.asked(
    (Objective("runtime_s"), Objective("utilization", "maximize")), (Bound("area_mm2", at_most=50.0),)
)
TOLD = [
    {"runtime_s": 2.0, "utilization": 0.5, "area_mm2": 9.0},
    None,
    {"runtime_s": 1.0, "utilization": 0.1, "area_mm2": 9.0},
    {"runtime_s": 0.5, "utilization": 0.9, "area_mm2": 60.0},
    {"runtime_s": 4.0, "utilization": 0.8, "area_mm2": 9.0},
    {"runtime_s": 4.0, "utilization": 0.4, "area_mm2": 9.0},
]


def rows(metrics=TOLD):
    designs = SPACE.designs(sample(SPACE, len(metrics), "random", 0))
    return Evaluations.from_list([evaluation(d, m) for d, m in zip(designs, metrics, strict=True)])


def test_the_front_holds_what_is_feasible_within_the_bounds_and_not_dominated():
    found = front_of(TRADE, rows())
    assert found.values.tolist() == [[1.0, 0.1], [2.0, 0.5], [4.0, 0.8]]
    assert found.rows.metrics["runtime_s"].tolist() == [1.0, 2.0, 4.0]
    assert found.reference.tolist() == [4.0, pytest.approx(0.1)]


def test_the_hypervolume_grows_in_logarithms_up_to_the_reference():
    """Each row by itself adds a rectangle of ratios to the worst runtime and the worst utilisation."""
    found = front_of(TRADE, rows())
    first = np.log(4.0 / 2.0) * np.log(0.5 / 0.1)
    assert found.hypervolume == pytest.approx([first, first, first, first, first, first])
    assert len(found.hypervolume) == len(TOLD)


def test_the_preferred_row_follows_the_weights():
    assert front_of(TRADE, rows()).preferred == 1
    assert front_of(TRADE, rows(), {"runtime_s": 9.0}).preferred == 0
    heavy = front_of(TRADE, rows(), {"utilization": 9.0})
    assert heavy.preferred == 2
    assert heavy.weights.tolist() == [1.0, 9.0]


def test_a_preference_of_no_objective_is_refused():
    with pytest.raises(ArmillaryError, match=r"area_mm2=2 is no preference; the objectives are \['runtime_s'"):
        front_of(TRADE, rows(), {"area_mm2": 2.0})
    with pytest.raises(ArmillaryError, match="must be 2 numbers, at least 0, not all 0"):
        front_of(TRADE, rows(), {"runtime_s": -1.0})


def test_nothing_feasible_has_no_front():
    with pytest.raises(ArmillaryError, match="no row is feasible and within the bounds"):
        front_of(TRADE, rows([None, TOLD[3]]))


def test_the_table_holds_every_parameter_and_metric_and_marks_the_preferred(tmp_path):
    found = front_of(TRADE, rows())
    with write_front(tmp_path, found).open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["preferred"] for row in read] == ["0", "1", "0"]
    assert [float(row["runtime_s"]) for row in read] == [1.0, 2.0, 4.0]
    assert [float(row["area_mm2"]) for row in read] == [9.0] * 3
    for place, row in enumerate(read):
        design = found.rows.row(place).design.as_dict()
        assert {name: row[name] for name in SPACE.names} == {name: str(value) for name, value in design.items()}


class Sum:
    """Predicts the sum of the codes, or what is left to the greatest sum; surely feasible where the first is small."""

    least_chance = 0.5

    def __init__(self, *, rest=False, feasible_below=10):
        self.rest, self.feasible_below = rest, feasible_below

    def predict(self, codes, _context):
        total = codes.sum(axis=1)
        mean = 1.0 + (sum(SPACE.cardinalities) - total if self.rest else total)
        chance = np.where(codes[:, 0] < self.feasible_below, 0.9, 0.1)
        return Prediction(mean=mean.astype(float), std=np.zeros(len(codes)), p_feasible=chance)


TRADED = TEMPLATE.asked((Objective("runtime_s"), Objective("energy_pj"), Objective("area_mm2")), ())
BOTH = {"runtime_s": Sum(rest=True), "energy_pj": Sum()}


def test_proposals_are_new_and_on_the_front_that_the_surrogates_and_the_laws_expect():
    known = Evaluations.from_list([evaluation(d, None) for d in SPACE.designs(sample(SPACE, 50, "random", 1))])
    codes = propose_front(BOTH, TRADED, CONTEXT, top=64, seed=0, known=known)
    assert len(codes) == len(np.unique(codes, axis=0)) == 64
    assert (area_mm2(codes) <= 98.0).all()
    assert not set(map(tuple, codes)) & set(map(tuple, SPACE.encode_columns(known.design)))
    sums = codes.sum(axis=1)
    assert sums.max() - sums.min() > 30
    values = np.stack([-sums, sums, area_mm2(codes)], axis=1)
    assert front(values).mean() > 0.9


def test_proposals_are_likely_feasible_and_within_the_bounds_that_are_predicted():
    gated = {**BOTH, "energy_pj": Sum(feasible_below=4)}
    bounded = replace(TRADED, bounds=(*TRADED.bounds, Bound("energy_pj", at_most=25.0)))
    codes = propose_front(gated, bounded, CONTEXT, top=32, seed=0)
    assert (codes[:, 0] < 4).all()
    assert (1 + codes.sum(axis=1) <= 25).all()


def test_of_a_list_only_candidates_are_proposed():
    listed = sample(SPACE, 40, "random", 3)
    listed = listed[area_mm2(listed) <= 98.0]
    codes = propose_front(BOTH, replace(TRADED, candidates=listed), CONTEXT, top=5, seed=0)
    assert set(map(tuple, codes)) <= set(map(tuple, listed))
    with pytest.raises(ArmillaryError, match="candidates is new and expected to be feasible"):
        propose_front({**BOTH, "energy_pj": Sum(feasible_below=0)}, replace(TRADED, candidates=listed), CONTEXT)


def test_an_objective_that_nothing_tells_is_named():
    with pytest.raises(ArmillaryError, match="objective 'energy_pj' has no surrogate and no law"):
        propose_front({"runtime_s": Sum()}, TRADED, CONTEXT)
    with pytest.raises(ArmillaryError, match="no workload to propose designs for"):
        propose_front(BOTH, TRADED, [])
