import errno

import numpy as np
import pytest

from armillary import surrogates
from armillary.evaluators import spec_of
from armillary.evaluators.physical.space import joint
from armillary.execution.local import LocalExecutor
from armillary.hardware import templates
from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.log.store import Log
from armillary.studies.collect import collect
from armillary.studies.fit import (
    check_kind,
    check_parted,
    check_savable,
    check_technology,
    fit_surrogate,
    rows_of,
    save_atomically,
    schedule_of,
    sources_of,
)
from armillary.studies.propose import propose, rounded
from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.ppa.stack import Stack
from armillary.surrogates.prime.surrogate import Prime
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads import zoo
from armillary.workloads.context import context_of

PROBLEM = TEMPLATE.problem("runtime_s", {"area_mm2": 29.0})


@pytest.fixture(scope="module")
def log(template, workload, tmp_path_factory):
    path = tmp_path_factory.mktemp("log")
    executor, spec = LocalExecutor(Log(path)), spec_of("edge_tpu", Fidelity.ANALYTICAL)
    collect(template, workload, executor, spec, samples=1500)
    collect(template, zoo.build("unet"), executor, spec, samples=100)
    return Log(path)


@pytest.fixture(scope="module", params=["deep-ensemble", "hurdle", pytest.param("prime", marks=pytest.mark.slow)])
def model(request, log, template, short_schedule):
    rows = rows_of(log, template.space, ["mobilenet_v2"])
    return fit_surrogate(rows, PROBLEM, kind=request.param, schedule="quick")


def test_takes_the_rows_of_the_named_workloads(log, template):
    assert len(rows_of(log, template.space, [])) == 1600
    assert set(rows_of(log, template.space, ["unet"]).workload) == {"unet"}
    with pytest.raises(ArmillaryError, match=r"has no row of workload 'vgg16'; it has \['mobilenet_v2', 'unet'\]"):
        rows_of(log, template.space, ["unet", "vgg16"])


def test_a_saved_model_proposes_what_the_fitted_one_does(model, template, workload, tmp_path):
    save_atomically(model, tmp_path / "new" / "m.pt")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.pt"]
    loaded = surrogates.read(tmp_path / "new" / "m.pt", template.space)
    assert type(loaded) is type(model)
    assert loaded.facts() == {name: fact for name, fact in model.facts().items() if name != "seconds"}
    options = {"top": 10, "seed": 3}
    small = template.problem("runtime_s", {"area_mm2": 20.0})
    first, again = (propose(m, small, context_of(workload), **options) for m in (model, loaded))
    assert (first.codes == again.codes).all()
    assert (template.area_mm2(first.codes) <= 20.0).all()
    assert (np.diff(rounded(first.predicted)) >= 0).all()
    with pytest.raises(ArmillaryError, match="fitted to workload 'mobilenet_v2' alone"):
        propose(model, small, context_of(zoo.build("unet")), **options)


def test_a_full_disk_leaves_the_model_before(model, tmp_path, monkeypatch):
    (tmp_path / "m.pt").write_text("before")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ArmillaryError, match=r"m\.pt: cannot be written \(No space left on device\)"):
        save_atomically(model, tmp_path / "m.pt")
    assert (tmp_path / "m.pt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_says_before_training_where_no_model_can_be_saved(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArmillaryError, match="it is a folder; name a file"):
        check_savable(tmp_path)
    with pytest.raises(ArmillaryError, match=r"file/m\.pt: cannot be written"):
        check_savable(tmp_path / "file" / "m.pt")


def test_a_surrogate_without_a_model_file_is_refused(log, template):
    rows = rows_of(log, template.space, ["mobilenet_v2"])
    with pytest.raises(
        ArmillaryError, match=r"surrogate 'coms' has no model file; choose one of \['auto', 'deep-ensemble'"
    ):
        fit_surrogate(rows, PROBLEM, kind="coms")
    with pytest.raises(ArmillaryError, match="surrogate 'oracle' is unknown"):
        fit_surrogate(rows, PROBLEM, kind="oracle")


def test_only_what_trains_as_prime_does_has_a_schedule():
    assert schedule_of("prime", None, "full") == "full"
    assert schedule_of("standard", "brief", "full") == "brief"
    for kind in ("deep-ensemble", "hurdle"):
        assert schedule_of(kind, None, "full") == "full"
        with pytest.raises(ArmillaryError, match=f"{kind!r} trains without a schedule; leave out --schedule"):
            schedule_of(kind, "brief", "full")


def test_a_model_of_another_kind_is_refused(model, template, tmp_path):
    save_atomically(model, tmp_path / "m.pt")
    other = Prime if isinstance(model, DeepEnsemble) else DeepEnsemble
    with pytest.raises(ArmillaryError, match=r"m\.pt: holds a model of kind"):
        other.load(tmp_path / "m.pt", space=template.space)


def test_a_bound_below_every_logged_design_is_warned_of(model, log, template, tmp_path):
    rows = rows_of(log, template.space, ["mobilenet_v2"])
    least = rows.metrics["area_mm2"][rows.feasible].min()
    energy_pj = rows.metrics["energy_pj"][rows.feasible].min()
    save_atomically(model, tmp_path / "m.pt")
    for told in (model, surrogates.read(tmp_path / "m.pt", template.space)):
        assert told.below_the_log("area_mm2", least) is None
        assert f"the least is {least:.4g} mm2." in told.below_the_log("area_mm2", 0.99 * least)
        assert "bound energy_pj=1 pJ" in told.below_the_log("energy_pj", 1.0)
        assert told.below_the_log("energy_pj", energy_pj) is None


def test_what_learns_from_other_layouts_is_told_of_some():
    check_kind("ppa-transfer", sources=["shipped://axiline_svm"])
    with pytest.raises(ArmillaryError, match="'ppa-transfer' learns from other layouts beforehand; name their log"):
        check_kind("ppa-transfer")
    with pytest.raises(ArmillaryError, match="'ppa-rtl' learns from one log; leave out --source"):
        check_kind("ppa-rtl", sources=["shipped://axiline_svm"])
    (rows,) = sources_of(["shipped://axiline_svm"])
    assert (rows.space, len(rows)) == ("axiline.physical", 384)


def test_architectures_are_left_out_whole_where_others_will_be_asked(monkeypatch):
    (rows,) = sources_of(["shipped://axiline_svm"])
    rows = rows.select(np.arange(48))
    template = joint(templates.load("axiline"))
    seen = []
    monkeypatch.setattr(Stack, "learned", staticmethod(lambda *_, groups, **__: seen.append(groups) or 1 / 0))
    for unseen in (False, True):
        with pytest.raises(ZeroDivisionError):
            fit_surrogate(rows, template.problem("area_mm2", {}), kind="ppa", unseen_architectures=unseen)
    assert seen[0] is None
    assert len(np.unique(seen[1])) == 24
    check_parted("ppa-gcn", template.space)
    for kind, space in (("hurdle", template.space), ("ppa", templates.load("axiline").space)):
        with pytest.raises(ArmillaryError, match="tells no architectures apart"):
            check_parted(kind, space)


def test_layouts_are_of_the_technology_whose_periods_the_space_has():
    near, far = sources_of(["shipped://axiline_svm", "shipped://axiline_svm_osu018"])
    check_technology(near, {}, "log")
    check_technology(far, {"enablement": "osu018"}, "log")
    with pytest.raises(ArmillaryError, match="log: has layouts of enablement 'osu018', where 'nangate45' is asked for"):
        check_technology(far, {}, "log")
    with pytest.raises(ArmillaryError, match="add --set enablement=nangate45"):
        check_technology(near, {"enablement": "osu018"}, "log")
