from __future__ import annotations

import base64
import gzip
import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from armillary.evaluators.explanation import BesideCost
from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.problems.criteria import Bound
from armillary.problems.problem import Problem
from armillary.reports.page import charts, packed, render, write_report
from armillary.reports.tables import metric_rows
from armillary.reports.units import text_of
from armillary.reports.wording import TIMES, number, quantity
from armillary.spaces.space import Parameter, Space
from armillary.studies.results import Candidates
from armillary.types import ArmillaryError, Design, Failure
from armillary.workloads.layer import Layer, LayerUse, Workload
from reports.plausible import explained

ALL_CHARTS = 14
HOSTILE = "<script>alert('x')</script>&\"net\""


class Outline(HTMLParser):
    """The visible structure of a page: headings, figures, cells, text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.labels, self.bare_heads, self.ids, self.scripts, self.words = [], [], 0, [], 0, []
        self._skip = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if values.get("role") == "img":
            self.labels.append(values.get("aria-label", ""))
        if tag == "th" and "scope" not in values:
            self.bare_heads += 1
        if "id" in values:
            self.ids.append(values["id"])
        if tag in ("script", "style"):
            self.scripts += tag == "script"
            self._skip = tag

    def handle_endtag(self, tag):
        if tag == self._skip:
            self._skip = ""

    def handle_data(self, data):
        if not self._skip:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(results):
    return render(results)


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def test_the_page_shows_every_chart(results):
    assert len(charts(results)) == ALL_CHARTS


def test_the_page_names_command_versions_and_evaluator(results, outline):
    assert results.command in outline.text
    assert results.report_command in outline.text
    for name, version in results.versions.items():
        assert f"{name} {version}" in outline.text
    assert "toy_roofline 1.0 (analytical)" in outline.text
    assert "4 min 29 s in all" in outline.text


def test_the_page_shows_every_parameter_of_every_contender(results, outline):
    for name in results.space.names:
        assert name in outline.text
    assert "published design, nearest in the space" in outline.text
    assert "10 values, 1 to 32" in outline.text


def test_the_summary_states_the_gain(results, outline):
    ratio = results.best_of_log.metrics["runtime_s"] / results.winner.metrics["runtime_s"]
    assert f"{ratio:.2f}{TIMES} faster than the best design of the log" in outline.text
    assert "among the 452,760,000 designs of the edge_tpu space" in outline.text


def test_operators_that_are_not_mapped_are_listed(outline):
    assert "Clip 35 13.4 MB" in outline.text
    assert "NonMaxSuppression 1 4.00 kB and 1 tensor of unknown size" in outline.text


def test_operators_without_time_are_said_to_have_none(outline):
    assert "their time and energy are not part of the numbers above" in outline.text


def test_operators_beside_the_array_have_their_time_share_and_energy(results):
    clock_hz, spent = results.winner.rates.clock_hz, results.winner.total_s
    cycles = spent * clock_hz / 3  # so that they are a quarter of the whole
    costs = (
        BesideCost("sum", 4, cycles / 4, 2e6, 100.0),
        BesideCost("softmax", 12, cycles * 3 / 4, 5e6, 1e3),
        BesideCost("unknown", 1, 0.0, 0.0, 0.0),
    )
    overhead = {**results.winner.overhead_s, "operators beside the array": cycles / clock_hz}
    winner = explained(results.winner, beside=costs, overhead_s=overhead)
    text = Outline(render(replace(results, winner=winner))).text
    assert "part of the numbers above: 25% of the winner's time" in text
    assert f"softmax 12 {text_of(results, 'runtime_s', spent / 4)} 19% {quantity(5e-6, 'J')}" in text
    assert "operators whose work is unknown 1 unknown unknown unknown" in text
    assert "Operators that are not mapped" in text
    assert "are not part of the numbers above" not in text


def test_what_an_import_leaves_out_and_warns_of_is_shown(results, outline):
    text = Outline(
        render(
            replace(results, unknown_work=("BeamSearch node 'b' is strange",), import_warnings=("blocks are padded",))
        )
    ).text
    assert "Work that is left out: BeamSearch node 'b' is strange. blocks are padded" in text
    assert "Work that is left out" not in outline.text


def test_headings_descend_one_step_at_a_time(outline):
    assert outline.headings.count(1) == 1
    assert outline.headings[0] == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))


def test_figures_and_tables_are_labelled(outline):
    assert len(outline.labels) == ALL_CHARTS
    assert all(len(label) > 20 for label in outline.labels)
    assert outline.bare_heads == 0
    assert len(set(outline.ids)) == len(outline.ids)


def test_nothing_is_loaded_from_elsewhere(page):
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", own)
    assert "default-src 'none'" in own


def test_the_page_stays_small_with_a_large_log(make_results):
    assert len(render(make_results(rows=4000)).encode()) < 3_000_000


def test_hostile_names_are_text(make_results, outline):
    results = make_results(title=HOSTILE, workload=HOSTILE, rows=300, candidates=64)
    layers = tuple(replace(layer, name=f"{HOSTILE}{i}") for i, layer in enumerate(results.winner.layers))
    results = replace(
        results,
        command=HOSTILE,
        versions={HOSTILE: HOSTILE},
        winner=replace(explained(results.winner, layers=layers), name=HOSTILE, note=HOSTILE),
        best_of_log=explained(results.best_of_log, layers=layers),
        baseline=explained(results.baseline, layers=layers),
    )
    text = render(results)
    assert "<script>alert" not in text
    assert html.escape(HOSTILE, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in text
    hostile = Outline(text)
    assert hostile.scripts == outline.scripts
    assert HOSTILE in hostile.text


def test_no_feasible_candidate_makes_the_best_of_the_log_the_winner(results):
    rows = len(results.candidates.predicted)
    evaluations = replace(
        results.candidates.evaluations,
        metrics={},
        feasible=np.zeros(rows, dtype=bool),
        failure_kind=np.full(rows, "infeasible", dtype=object),
        failure_resource=np.full(rows, "core_memory_bytes", dtype=object),
    )
    poor = replace(
        results, winner=results.best_of_log, candidates=Candidates(evaluations, results.candidates.predicted)
    )
    text = Outline(render(poor)).text
    assert "the winner shown here is the best logged design" in text
    assert "no candidate was within bounds" in text
    assert "None of the 256 candidates was within bounds" in text
    assert set(charts(results)) - set(charts(poor)) == {"candidate-progress"}


def slower(results, factor):
    """Return the study with candidates that are slower by a factor, the best of the log as its winner."""
    rows = results.candidates.evaluations
    rows = rows.with_metrics({"runtime_s": factor * rows.metrics["runtime_s"]})
    candidates = replace(results.candidates, evaluations=rows)
    return replace(results, winner=results.best_of_log, candidates=candidates)


def test_a_winner_from_the_log_that_candidates_did_not_beat(results):
    beaten, not_beaten = (Outline(render(slower(results, factor))).text for factor in (1.0, 1e3))
    assert "no candidate beat it" in not_beaten
    assert "No candidate was better than the log" in not_beaten
    assert "no candidate beat it" not in beaten  # then a truer evaluator chose the winner
    assert "No candidate was better than the log" not in beaten


def test_a_log_without_infeasible_rows(results):
    clean = replace(results, log=results.log.select(results.log.feasible))
    text = Outline(render(clean)).text
    assert "reasons" not in charts(clean)
    assert "None of these designs was infeasible." in text
    assert "logged designs were feasible." in text


def test_a_log_without_feasible_rows(results):
    lost = replace(results, log=results.log.select(~results.log.feasible))
    text = Outline(render(lost)).text
    assert {"histogram", "log-progress"}.isdisjoint(charts(lost))
    assert "None of these designs was feasible" in text


def test_a_workload_of_one_layer(results):
    def only_first(contender):
        return explained(contender, layers=contender.layers[:1])

    single = replace(
        results,
        winner=only_first(results.winner),
        best_of_log=only_first(results.best_of_log),
        baseline=only_first(results.baseline),
    )
    assert len(charts(single)) == ALL_CHARTS
    assert "All 1 layers" not in Outline(render(single)).text


def test_a_missing_baseline_is_said(results):
    alone = replace(results, baseline=None)
    text = Outline(render(alone)).text
    assert "No published design of this template is there to compare with." in text
    assert "Edge TPU" not in text


def test_an_infeasible_baseline_shows_its_reason(results):
    failure = Failure("infeasible", "core_memory_bytes", "conv_1", 65536, 32768)
    baseline = replace(results.baseline, explanation=None, metrics={"area_mm2": 20.5}, failure=failure)
    text = Outline(render(replace(results, baseline=baseline))).text
    assert "Edge TPU infeasible" in text
    assert "Edge TPU is infeasible: layer conv_1: core_memory_bytes needs 65,536, has 32,768." in text
    assert "The Edge TPU cannot run this workload" in text


def test_a_contender_out_of_bounds_is_marked(results):
    baseline = replace(results.baseline, metrics=results.baseline.metrics | {"area_mm2": 31.0})
    text = Outline(render(replace(results, baseline=baseline))).text
    assert "Edge TPU is out of bounds: 31.0 mm² exceeds the bound of 29.0 mm²." in text


def test_a_study_without_a_surrogate(results):
    plain = replace(
        results, candidates=None, importances=None, selection=None, winner=results.best_of_log, stage_seconds={},
        not_mapped=(), report_command="",
    )  # fmt: skip
    text = Outline(render(plain)).text
    assert {"predicted", "candidate-progress", "importances", "selection"}.isdisjoint(charts(plain))
    assert "Evaluated designs 1,200" in text
    assert "Of the 1,200 evaluated designs" in text
    assert charts(plain)["log-progress"].title == "While searching"
    told = text + " ".join(f"{c.title} {c.caption} {c.label} {c.spec}" for c in charts(plain).values())
    for word in ("surrogate", "candidate", "logged", "collecting"):
        assert word not in told.lower().replace("armillary design mobilenet_v2.onnx", ""), word
    assert "Every operator of the workload is mapped" in text
    assert "No candidate" not in text


def test_writing_replaces_the_page_at_once(results, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    write_report(results, path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_older_page(results, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("older")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ArmillaryError, match=r"report\.html: cannot be written \(No space left on device\)"):
        write_report(results, path)
    assert path.read_text() == "older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_limit_that_every_design_keeps_is_no_bound(results):
    problem = results.problem
    largest = float(problem.laws["area_mm2"](np.array([problem.space.cardinalities]) - 1)[0])
    unbounded = replace(results, problem=replace(problem, bounds=(Bound("area_mm2", at_most=largest),)))
    text = Outline(render(unbounded)).text
    assert "Goal lowest runtime Seed" in text
    for word in ("allowed 1", "within bounds", "Within bounds", "at most"):
        assert word not in text
    tight = replace(results, problem=replace(problem, bounds=(Bound("area_mm2", at_most=0.99 * largest),)))
    assert "with area at most" in Outline(render(tight)).text


def test_an_objective_that_follows_from_other_metrics_is_shown(results):
    product = replace(results, problem=TEMPLATE.problem("edp_pj_cycles", {"area_mm2": 29.0}))
    assert {"landscape", "histogram", "log-progress"} <= set(charts(product))
    values = product.measured(product.log)
    energy, cycles = (product.log.metrics[name] for name in ("energy_pj", "delay_cycles"))
    assert np.array_equal(values[product.log.feasible], (energy * cycles)[product.log.feasible])
    assert text_of(product, "edp_pj_cycles", float(np.nanmin(values))) in charts(product)["histogram"].label


def test_the_layer_table_shows_every_mapping(results, outline):
    assert outline.text.count("X:P Y:Q cores:K") == len(results.winner.layers)
    assert "The mappings are those of Winner." in outline.text


def test_mappings_onto_levels_say_how_to_read_them(results):
    def mapped(contender, text):
        return explained(contender, layers=tuple(replace(layer, mapping=text) for layer in contender.layers))

    one = "L1[WIO] K8 Q28 - L0[W] C4X"
    text = Outline(render(replace(results, winner=mapped(results.winner, one)))).text
    assert text.count(one) == len(results.winner.layers)
    assert "the memory levels, the outermost first" in text
    none = Outline(render(replace(results, winner=mapped(results.winner, "")))).text
    assert "Mapping" not in none
    assert "mappings are" not in none


def test_layers_that_no_array_runs_are_named(results):
    layers = (*(Layer(layer.name, "gemm") for layer in results.winner.layers), Layer("head/dense", "gemm"))
    workload = Workload("w", tuple(map(LayerUse, layers)))
    lacking = replace(results, problem=replace(results.problem, workloads=(workload,)))
    assert "the template has no array for them: head/dense." in Outline(render(lacking)).text
    numbered = replace(layers[0], name=f"{layers[0].name}#2")  # a second array of a layer is no other layer
    more = replace(results, problem=replace(results.problem, workloads=(Workload("w", (LayerUse(numbered),)),)))
    assert "has no array" not in Outline(render(more)).text


def test_an_evaluator_is_listed_with_its_options_once(results):
    log = replace(results.log, options=np.full(len(results.log), '{"goal": "delay", "samples": 60}', dtype=object))
    study = replace(results, log=log, candidates=None, versions={"evaluator toy_roofline": "1.0", "numpy": "2.4.6"})
    text = Outline(render(study)).text
    assert "evaluator toy_roofline 1.0 (analytical, goal=delay, samples=60)" in text
    assert "evaluator toy_roofline 1.0 (analytical) " not in text


def test_a_stage_that_took_no_time_is_left_out(results):
    text = Outline(render(replace(results, stage_seconds={"search": 2.0, "prove": 0.004}))).text
    assert "Search 2.0 s" in text
    assert "Prove 0.0 s" not in text


def test_many_parameters_scroll(make_results, results):
    assert 'class="scroll tall" role="region" aria-label="Design parameters"' not in render(results)
    names = tuple(f"array_{i}" for i in range(30))
    space = Space("edge_tpu", tuple(Parameter(name, (1, 2)) for name in names))
    design = Design("edge_tpu", tuple((name, 1) for name in names))
    rows = results.log.select(slice(0, 5))
    wide = replace(
        results,
        problem=Problem.minimising(space),
        log=replace(rows, design={name: np.ones(5, dtype=np.int64) for name in names}),
        candidates=None,
        winner=replace(results.winner, design=design),
        best_of_log=replace(results.best_of_log, design=design),
        baseline=None,
    )
    assert 'class="scroll tall" role="region" aria-label="Design parameters"' in render(wide)


@pytest.mark.parametrize(
    ("missing", "heading"), [("area_parts_mm2", "Energy"), ("energy_parts_pj", "Area"), (None, "Area and energy")]
)
def test_the_breakdown_is_called_what_it_shows(results, missing, heading):
    def without(contender):
        return explained(contender, **{missing: {}}) if missing else contender

    contenders = {name: without(getattr(results, name)) for name in ("winner", "best_of_log", "baseline")}
    assert f'<h2 id="breakdown-title">{heading}</h2>' in render(replace(results, **contenders))


def test_what_is_packed_unpacks_to_the_same_and_the_same_text_packs_alike():
    text = "</script> µ é " * 50
    assert gzip.decompress(base64.b64decode(packed(text))).decode() == text
    assert packed(text) == packed(text)
    assert "<" not in packed(text)


def test_throughput_power_and_efficiency_stand_beside_the_metrics(results, outline):
    winner = results.winner
    runtime_s, energy_pj = winner.metrics["runtime_s"], winner.metrics["energy_pj"]
    macs = sum(layer.macs for layer in winner.layers)
    rows = {row.label: row.values[0] for row in metric_rows(results)}
    assert rows["Throughput"] == f"{number(1 / runtime_s)} inferences/s"
    assert rows["Mean power"] == quantity(energy_pj * 1e-12 / runtime_s, "W")
    assert rows["Efficiency"] == f"{number(2 * macs / energy_pj)} TOPS/W"
    assert "DRAM traffic of Winner, Best of log and Edge TPU: weights stay on chip." in outline.text


def test_the_page_says_feasible_and_within_bounds_in_one_sense(results, outline):
    said = outline.text + " ".join(f"{c.title} {c.caption} {c.label} {c.spec}" for c in charts(results).values())
    assert "legal" not in said.lower()
    assert "It is within bounds where it is feasible and keeps every bound of the goal" in outline.text
