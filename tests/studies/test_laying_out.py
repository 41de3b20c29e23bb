"""The layout of a winner that cheaper evaluators found, on a stand-in for the flow."""

from dataclasses import replace

import pytest

from armillary.evaluators import spec_of
from armillary.evaluators.function import FunctionEvaluator
from armillary.execution.local import LocalExecutor, evaluated_codes
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.studies.laying_out import LAYOUTS, RTL, WINNER, lay_out_winner, pictures_of, winner_laid_out
from armillary.studies.results import Proof
from armillary.studies.stages import Setting
from armillary.studies.study_folder import StudyFolder
from armillary.types import Evaluations, EvaluatorSpec, Fidelity

SPEC = spec_of("edge_tpu", Fidelity.ANALYTICAL)
PHYSICAL = EvaluatorSpec("edge_tpu", Fidelity.PHYSICAL, "standin", "1")


class Flow(FunctionEvaluator):
    """Formulas in place of the flow, and a folder as the flow leaves it."""

    def __init__(self, function, problem, made):
        super().__init__(function, problem, PHYSICAL)
        self._made = made

    def layout_folder(self, design):  # noqa: ARG002
        (self._made / "rtl").mkdir(parents=True, exist_ok=True)
        (self._made / "rtl" / "top.sv").write_text("// top")
        (self._made / "layout.png").write_bytes(b"cells")
        return self._made


@pytest.fixture(scope="module")
def problem(template):
    return template.problem("runtime_s", {"area_mm2": 29.0})


@pytest.fixture(scope="module")
def rows(template, workload):
    return evaluated_codes(SPEC, template.space, sample(template.space, 100, "sobol", 0), workload)


@pytest.fixture
def setting(template, workload, problem, tmp_path):
    folder = StudyFolder(tmp_path / "study")
    return Setting(folder, template, workload, problem, SPEC, LocalExecutor(), Log(folder.log), "")


def laid_out(setting, rows, function, tmp_path, proof=None):
    flow = Flow(function, setting.problem, tmp_path / "made")
    winner = rows.row(int(setting.problem.values(rows).argmin()))
    lay_out_winner(setting, winner, proof, PHYSICAL, LocalExecutor(make=lambda _: flow))
    (found,) = winner_laid_out(setting.folder, setting.template.space)
    return winner, found


def test_the_layout_stands_beside_what_was_told_before(setting, rows, tmp_path):
    winner, found = laid_out(setting, rows, lambda _: {"runtime_s": 2.0, "area_mm2": 10.0}, tmp_path)
    assert found.design == winner.design
    assert found.predicted["runtime_s"] == winner.metrics["runtime_s"]
    assert found.error("runtime_s") == pytest.approx(winner.metrics["runtime_s"] / 2.0 - 1)
    assert found.pictures == {"cells by block": b"cells"} == pictures_of(setting.folder, WINNER)
    assert (setting.folder.path / RTL / "top.sv").exists()


def test_a_proof_between_counts_for_more(setting, rows, tmp_path):
    winner = rows.row(int(setting.problem.values(rows).argmin()))
    by_rtl = Evaluations.from_list([replace(winner, metrics={"runtime_s": 3.0}, fidelity=Fidelity.RTL)])
    proof = Proof(by_rtl, by_rtl.metrics["runtime_s"])
    _, found = laid_out(setting, rows, lambda _: {"runtime_s": 2.0, "area_mm2": 10.0}, tmp_path, proof)
    assert found.predicted["runtime_s"] == 3.0
    assert found.predicted["area_mm2"] == winner.metrics["area_mm2"]


def test_a_winner_without_a_layout_says_why(setting, rows, tmp_path):
    _, found = laid_out(setting, rows, lambda _: "no tracks", tmp_path)
    assert "no tracks" in str(found.failure)
    assert found.pictures == {}
    assert not (setting.folder.path / LAYOUTS).exists()


def test_a_study_without_layouts_has_none(setting):
    assert winner_laid_out(setting.folder, setting.template.space) == ()
