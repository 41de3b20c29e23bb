from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.several import as_seen_by, evaluators_of, with_evaluator_column
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo
from armillary.workloads.context import context_of

PROBLEM = TEMPLATE.problem("runtime_s", {"area_mm2": 98.0})
CONTEXT = context_of(zoo.build("mobilenet_v2"))
CHEAP, TRUE = (f"{name} {EdgeTpuEvaluator().spec.version}" for name in ("edge_tpu", "true"))


@pytest.fixture(scope="module")
def rows():
    """Many rows of a cheap evaluator, and a few of one that says three times as much and knows the memory's rate."""
    every = EdgeTpuEvaluator().evaluate_codes(sample(SPACE, 3000, "random", 0), zoo.build("mobilenet_v2"))
    cheap, few = every.select(slice(0, 2700)), every.select(slice(2700, None))
    slower = 3.0 * few.metrics["runtime_s"] * (25.0 / few.design["dram_bandwidth_gbps"]) ** 0.3
    true = replace(
        few,
        metrics={**few.metrics, "runtime_s": slower},
        evaluator=np.full(len(few), "true", dtype=object),
    )
    return Evaluations.concat([cheap, true])


def test_rows_of_several_evaluators_are_refused_without_the_column(rows):
    with pytest.raises(ArmillaryError, match=rf"mixes results of 2 evaluators \({CHEAP}, {TRUE}\).*--by-evaluator"):
        DeepEnsemble(space=SPACE, steps=5, members=2).fit(InMemoryLog(rows), PROBLEM)


@pytest.mark.parametrize("column", ["version", "options"])
def test_rows_of_two_versions_or_options_do_not_mix(rows, column):
    half = rows.select(slice(0, 500))
    texts = np.where(np.arange(500) % 2, "1", "2" if column == "version" else "").astype(object)
    with pytest.raises(ArmillaryError, match="mixes results of 2 evaluators"):
        DeepEnsemble(space=SPACE, steps=5, members=2).fit(InMemoryLog(replace(half, **{column: texts})), PROBLEM)


def test_each_pair_of_workload_and_evaluator_is_a_workload(rows):
    told = with_evaluator_column(rows)
    assert evaluators_of(rows) == [CHEAP, TRUE]
    assert set(told.workload) == {f"mobilenet_v2 by {CHEAP}", f"mobilenet_v2 by {TRUE}"}
    assert told.context[f"evaluator is {TRUE}"].sum() == 300
    assert (told.context[f"evaluator is {TRUE}"] + told.context[f"evaluator is {CHEAP}"] == 1).all()


def test_a_few_true_rows_and_many_cheap_ones_tell_more_than_the_few_alone(rows):
    unseen = EdgeTpuEvaluator().evaluate_codes(sample(SPACE, 2000, "random", 7), zoo.build("mobilenet_v2"))
    unseen = unseen.select(PROBLEM.satisfied(unseen))
    codes = SPACE.encode_columns(unseen.design)
    truth = 3.0 * unseen.metrics["runtime_s"] * (25.0 / unseen.design["dram_bandwidth_gbps"]) ** 0.3
    errors = {"few": [], "both": []}
    for seed in range(3):
        options = {"space": SPACE, "seed": seed, "steps": 300, "members": 3}
        few = DeepEnsemble(**options).fit(InMemoryLog(rows.select(rows.evaluator == "true")), PROBLEM)
        both = DeepEnsemble(**options).fit(InMemoryLog(with_evaluator_column(rows)), PROBLEM)
        seen = as_seen_by(CONTEXT, TRUE, both.feature_names)
        for name, predicted in (("few", few.predict(codes)), ("both", both.predict(codes, seen))):
            errors[name].append(np.sqrt(np.mean(np.log(predicted.mean / truth) ** 2)))
    assert np.median(errors["both"]) < 0.8 * np.median(errors["few"])


def test_a_model_of_several_evaluators_is_told_whose_answers_are_wanted():
    names = (*CONTEXT.as_dict(), "evaluator is a 1", "evaluator is b 1")
    assert as_seen_by(CONTEXT, "b 1", names).as_dict()["evaluator is b 1"] == 1.0
    for wrong in (None, "c 1"):
        with pytest.raises(ArmillaryError, match=r"choose one of \['a 1', 'b 1'\]"):
            as_seen_by(CONTEXT, wrong, names)
    assert as_seen_by(CONTEXT, None, tuple(CONTEXT.as_dict())) is CONTEXT
    with pytest.raises(ArmillaryError, match="rows of one evaluator alone"):
        as_seen_by(CONTEXT, "a 1", tuple(CONTEXT.as_dict()))
