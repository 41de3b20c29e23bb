"""What pages and tables say where evaluations broke, and where a contender has no numbers."""

import sys
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from armillary.cli import main
from armillary.reports import candidate_figures, figures, summary, tables
from armillary.reports.units import text_of
from armillary.studies import design
from armillary.types import Failure


def broken_at(rows, places, detail="RuntimeError: no licence"):
    """Return evaluations of which some broke."""
    columns = {}
    for name, value in {"kind": "error", "resource": "", "layer": "", "detail": detail}.items():
        columns[f"failure_{name}"] = getattr(rows, f"failure_{name}").copy()
        columns[f"failure_{name}"][places] = value
    feasible = rows.feasible.copy()
    feasible[places] = False
    return replace(rows, feasible=feasible, **columns)


@pytest.fixture
def broken(results):
    """A study in which the evaluation of thirty logged designs and one candidate broke."""
    log = broken_at(results.log, np.flatnonzero(~results.log.feasible)[:30])
    candidates = replace(results.candidates, evaluations=broken_at(results.candidates.evaluations, [0]))
    return replace(results, log=log, candidates=candidates)


def test_what_broke_is_not_called_infeasible(results, broken):
    infeasible = int((~results.log.feasible).sum()) - 30
    text = " ".join(summary.paragraphs(broken))
    assert f"Of the {len(broken.log):,} logged designs " in text
    assert (
        "30 evaluations broke, which tells nothing of the designs; most often: error: RuntimeError: no licence." in text
    )
    (remarks,) = [h.remarks for h in summary.highlights(broken) if h.label == "Logged designs"]
    assert remarks[0].endswith("% infeasible")
    assert remarks[1].endswith("% not evaluated")
    assert sum(figures.reasons(broken).figure.data[0].x) == infeasible
    shares = {share.label: share.text for share in tables.log_shares(broken)}
    assert shares["Infeasible"].startswith(f"{infeasible:,} ")
    assert shares["Evaluation broke"].startswith("30 ")
    assert "and 1 broke in their evaluation" in candidate_figures.predicted_measured(broken).caption


def test_where_nothing_broke_nothing_is_said_of_it(results):
    text = " ".join(summary.paragraphs(results))
    assert "broke" not in text
    assert "broke" not in candidate_figures.predicted_measured(results).caption
    (remarks,) = [h.remarks for h in summary.highlights(results) if h.label == "Logged designs"]
    assert len(remarks) == 1


def test_a_log_that_broke_whole_has_no_infeasible_design(results):
    log = broken_at(results.log, slice(None), detail="x" * 500)
    text = " ".join(summary.paragraphs(replace(results, log=log)))
    assert "infeasible" not in text
    assert f"{len(log):,} evaluations broke" in text
    assert len(text) < 1500
    assert figures.reasons(replace(results, log=log)) is None


def test_the_table_of_a_study_has_a_row_for_a_baseline_that_cannot_run(results, monkeypatch, capsys, tmp_path):
    failure = Failure("infeasible", "core_memory_bytes", "conv_1", 65536, 32768)
    study = replace(results, baseline=replace(results.baseline, explanation=None, failure=failure))
    monkeypatch.setattr(design, "run_design", lambda *_, **__: study)
    with (
        patch.object(sys, "argv", ["armillary", "design", "unet", "--out", str(tmp_path / "s")]),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    out = capsys.readouterr().out
    assert stop.value.code == 0, out
    head, winner, *_, last = out.split("\n\n")[0].splitlines()
    assert head.split()[:3] == ["Runtime", "Energy", "Area"]
    assert text_of(study, "runtime_s", study.winner.metrics["runtime_s"]) in winner
    assert "infeasible: layer conv_1: core_memory_bytes needs 65,536, has 32,768" in last


def strip_of(results, feasible_only):
    rows = results.candidates.evaluations
    kept = rows.feasible if feasible_only else slice(None)
    few = replace(results.candidates, evaluations=rows.select(kept), predicted=results.candidates.predicted[kept])
    broke = replace(few, evaluations=broken_at(few.evaluations, [0]))
    chart = candidate_figures.predicted_measured(replace(results, candidates=broke))
    return chart.figure.layout.yaxis2.ticktext[0], [t.name for t in chart.figure.data if t.yaxis == "y2"]


def test_the_strip_is_called_what_it_holds(results, broken):
    assert strip_of(results, feasible_only=True) == ("Evaluation broke", ["Evaluation broke (1)"])
    label, names = strip_of(results, feasible_only=False)
    assert label == "No value"
    assert [name.split(" (")[0] for name in names] == ["Infeasible", "Evaluation broke"]
    whole = candidate_figures.predicted_measured(results)
    assert whole.figure.layout.yaxis2.ticktext == ("Infeasible",)
