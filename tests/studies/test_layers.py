"""Layers alone: from samples or given rows to a log, a model and predictions."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from armillary.evaluators import spec_of
from armillary.evaluators.sampling import LayerSampling
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import SPACE
from armillary.log.layer_rows import LayerRows
from armillary.log.store import Log
from armillary.studies import layers as studies
from armillary.studies.layers import (
    analytical_rows,
    check_rows,
    collect_layers,
    default_most_cycles,
    default_networks,
    default_samples,
    draw_layers,
    fit_layers,
    foresee_layers,
    predict_layers,
    prior_of,
)
from armillary.surrogates.layers import LayerSurrogateKind
from armillary.surrogates.layers.dataset import layer_dataset
from armillary.surrogates.starlight import paper
from armillary.surrogates.starlight.low import Schedule
from armillary.surrogates.starlight.paper import StarlightPaper
from armillary.testing.layer_surrogates import LAYERS
from armillary.types import ArmillaryError, Cost, Fidelity
from armillary.workloads.layer import Workload

SPEC = spec_of("gemmini", Fidelity.ANALYTICAL)
NET = Workload("net", LAYERS)


@pytest.fixture(scope="module")
def rows():
    return draw_layers(LocalExecutor(), SPEC, [NET], LayerSampling(24)).rows


def test_samples_are_kept_with_their_network_and_resume(rows, tmp_path):
    log, told = Log(tmp_path), []
    before = foresee_layers(SPEC, rows, log)
    assert (before.evaluations, before.logged, before.workload) == (24, 0, "net")

    def interrupt(stage, done, total):
        told.append((stage, done, total))
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_layers(LocalExecutor(log), SPEC, rows, interrupt)
    assert told == [("evaluating layers", done, 24) for done in range(11)]
    kept = len(log.layer_runs("gemmini"))
    assert kept == 10
    assert foresee_layers(SPEC, rows, log).logged == 10
    again = collect_layers(LocalExecutor(log), SPEC, rows)
    assert (again.evaluated, again.already_logged) == (14, 10)
    found = layer_dataset(log, SPACE)
    assert again.feasible + 0 <= int(found.feasible.sum()) <= 24
    assert {(one.design, one.mapping) for one in found.mapped} == {(one.design, one.mapping) for one in rows}
    assert found.networks == ("net",)


def test_progress_tells_what_is_drawn():
    told = []
    draw_layers(LocalExecutor(), SPEC, [NET], LayerSampling(8), lambda *step: told.append(step))
    assert told[0] == ("drawing samples", 0, 8)
    assert told[-1] == ("drawing samples", 8, 8)


def test_an_evaluator_that_cannot_is_named(rows):
    spec = spec_of("edge_tpu", Fidelity.ANALYTICAL)
    with pytest.raises(ArmillaryError, match="evaluator edge_tpu of template 'edge_tpu' samples no layers"):
        draw_layers(LocalExecutor(), spec, [NET], LayerSampling(8))
    with pytest.raises(ArmillaryError, match="evaluator edge_tpu of template 'edge_tpu' runs no mapped layers"):
        check_rows(LocalExecutor(), spec, LayerRows("rows.csv", rows, ()))


def test_a_file_with_a_mapping_of_another_layer_is_refused_before_anything_runs(rows):
    wrong = replace(rows[1], layer=replace(rows[1].layer, C=7))
    file = LayerRows("rows.csv", (rows[0], wrong), ())
    with pytest.raises(ArmillaryError, match=r"rows\.csv: row 3: mapping='L3.*the factors of C multiply to"):
        check_rows(LocalExecutor(), SPEC, file)
    check_rows(LocalExecutor(), SPEC, LayerRows("rows.csv", rows, ()))


def test_a_model_learns_from_a_log_and_predicts(rows, tmp_path, monkeypatch):
    log = Log(tmp_path)
    collect_layers(LocalExecutor(log), SPEC, rows)
    model = fit_layers(layer_dataset(log, SPACE), SPACE, "gemmini", kind="calibrated", metric="energy_pj")
    found = predict_layers(model, "gemmini", rows)
    prior = prior_of("gemmini", rows)
    np.testing.assert_allclose(found.mean, prior.metrics["energy_pj"])  # of the same evaluator: the factor is 1
    assert np.isnan(found.mean).sum() == (~prior.feasible).sum()
    assert prior.source.startswith(f"gemmini {SPEC.version}")
    monkeypatch.setattr(studies, "prior_of", lambda *_: replace(prior, source="gemmini 99"))
    with pytest.raises(ArmillaryError, match=r"beside evaluator 'gemmini .*, this Armillary has 'gemmini 99'; fit it"):
        predict_layers(model, "gemmini", rows)


def test_the_defaults_are_the_dissertations():
    slow = replace(SPEC, cost=Cost.MINUTES)
    assert [default_samples(spec) for spec in (SPEC, slow)] == [65_536, 4_096]
    assert [default_most_cycles(spec) for spec in (SPEC, slow)] == [None, 3e6]
    assert [network.name for network in default_networks()] == ["resnet50", "retinanet", "unet", "bert"]


def test_what_learns_beforehand_is_given_rows_of_a_log_or_samples(rows, tmp_path, monkeypatch):
    log, other = Log(tmp_path / "rtl"), Log(tmp_path / "analytical")
    collect_layers(LocalExecutor(log), SPEC, rows)
    collect_layers(LocalExecutor(other), spec_of("gemmini", Fidelity.ANALYTICAL, {"timing": "roofline"}), rows)
    short = partial(StarlightPaper, samples=64, schedule=Schedule(epochs=2), epochs=2)
    monkeypatch.setattr(studies, "kind_of", lambda _: LayerSurrogateKind(short, paper.KIND.read))
    monkeypatch.setattr(studies, "default_networks", lambda: [NET])
    given, stages = layer_dataset(log, SPACE), []
    asked = {"kind": "starlight-paper", "metric": "delay_cycles"}

    def heard(stage, _done, _total):
        stages.append(stage)

    read = fit_layers(given, SPACE, "gemmini", **asked, analytical_log=other, on_progress=heard)
    known = layer_dataset(other, SPACE).feasible.sum()
    assert read.facts()["learned_beforehand"] == known
    assert list(dict.fromkeys(stages)) == [
        "training starlight-paper on 24 analytical rows",
        "asking the analytical evaluator",
        "training starlight-paper",
    ]
    drawn = fit_layers(given, SPACE, "gemmini", **asked)
    assert 50 < drawn.facts()["learned_beforehand"] <= 64


def test_a_log_that_nobody_learns_beforehand_is_refused(rows, tmp_path):
    log = Log(tmp_path)
    collect_layers(LocalExecutor(log), SPEC, rows)
    given = layer_dataset(log, SPACE)
    with pytest.raises(ArmillaryError, match=r"surrogate 'calibrated' learns no analytical rows beforehand; leave the"):
        fit_layers(given, SPACE, "gemmini", kind="calibrated", metric="delay_cycles", analytical_log=log)


def test_analytical_rows_are_those_of_the_bound_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(studies, "default_networks", lambda: [NET])
    bound, physics = (
        analytical_rows("gemmini", SPACE, 32, options={"timing": timing}) for timing in ("roofline", "physics")
    )
    assert bound.mappings == physics.mappings
    assert bound.feasible.all()
    assert (bound.delay_cycles <= physics.delay_cycles).mean() > 0.9
    assert (bound.delay_cycles < physics.delay_cycles).any()
    np.testing.assert_array_equal(bound.energy_pj, physics.energy_pj)
