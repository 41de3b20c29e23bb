"""The surrogate of few layouts on top of many others: a made-up technology, four times as slow, with more power."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.evaluators.physical.space import KNOBS
from armillary.hardware.templates.edge_tpu import SPACE as EDGE_TPU
from armillary.log.store import InMemoryLog
from armillary.problems.criteria import Objective
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.ppa import elsewhere, forests, stack
from armillary.surrogates.ppa.elsewhere import Elsewhere, LayoutsOf, relative, slowness_of
from armillary.surrogates.ppa.forests import RandomizedForest
from armillary.surrogates.ppa.rtl_surrogate import RtlPpa
from armillary.surrogates.ppa.transfer_surrogate import TransferPpa
from armillary.types import ArmillaryError
from surrogates.ppa import layouts
from surrogates.ppa.layouts import CLOCKS, drawn, rows_of

SLOWNESS, MORE_POWER = 4.0, 30.0
REST = (Parameter("aspect_ratio", (0.5, 1.0)), Parameter("aim", ("area", "speed"), "categorical"))


def space(slowness):
    """Return the space with all knobs, its periods those of a technology."""
    own = tuple(
        replace(p, values=tuple(slowness * value for value in CLOCKS)) if p.name == "clock_ns" else p
        for p in layouts.SPACE.parameters
    )
    return Space(layouts.SPACE.name, (*own, *REST))


def made(codes, *, slow=False):
    """Return the rows of designs as NanGate45 or the slow technology tells them; all are laid out square, for speed."""
    rows = rows_of(codes)
    design = {**rows.design, "aspect_ratio": np.ones(len(codes)), "aim": np.array(["speed"] * len(codes), dtype=object)}
    if not slow:
        return replace(rows, design=design)
    metrics = {**rows.metrics, "power_mw": MORE_POWER * rows.metrics["power_mw"]}
    told = np.array([json.dumps({"enablement": "slow"})] * len(codes), dtype=object)
    design["clock_ns"] = SLOWNESS * design["clock_ns"]
    return replace(rows, design=design, metrics=metrics, options=told)


@pytest.fixture(autouse=True, scope="module")
def brief():
    """A technology of that name, and few members, which are tested with the ensemble."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elsewhere, "enablement", lambda _: SimpleNamespace(slowness=SLOWNESS))
        patch.setattr(elsewhere, "_KINDS", (RandomizedForest,))
        patch.setattr(forests, "_TREES", 20)
        patch.setattr(stack, "_MANY_FOLDS", 3)
        patch.setattr(stack, "_FOLDS", 3)
        patch.setattr(RtlPpa, "members", (RandomizedForest,))
        patch.setattr(TransferPpa, "members", (RandomizedForest,))
        yield


FAR = space(SLOWNESS)
POWER = Problem(FAR, (Objective("power_mw"),))


@pytest.fixture(scope="module")
def sources():
    return [made(drawn(24, 5, seed=0))]


@pytest.fixture(scope="module")
def fitted(sources):
    return TransferPpa(space=FAR, sources=sources).fit(InMemoryLog(made(drawn(5, 3, seed=3), slow=True)), POWER)


def off(model, asked):
    rows = asked.select(asked.feasible)
    said = model.predict(FAR.encode_columns(rows.design)).mean
    return float(np.abs(said / rows.metrics["power_mw"] - 1).mean())


def test_few_layouts_tell_more_where_others_tell_of_the_rest(sources):
    errors = []
    for seed in (3, 4, 5):
        few, asked = made(drawn(5, 3, seed=seed), slow=True), made(drawn(30, 3, seed=20 + seed), slow=True)
        models = [TransferPpa(space=FAR, sources=sources, seed=seed), RtlPpa(space=FAR, seed=seed)]
        errors.append([off(model.fit(InMemoryLog(few), POWER), asked) for model in models])
    ours, alone = np.mean(errors, axis=0)
    assert ours < 0.6 * alone


def test_the_interval_lies_around_the_mean(fitted):
    codes = FAR.encode_columns(made(drawn(10, 2, seed=9), slow=True).design)
    low, high = fitted.interval(codes)
    mean = fitted.predict(codes).mean
    assert ((low < mean) & (mean < high)).all()


def test_more_is_better_turns_no_interval_around(sources):
    few = InMemoryLog(made(drawn(5, 3, seed=3), slow=True))
    problem = Problem(FAR, (Objective("power_mw", "maximize"),))
    model = TransferPpa(space=FAR, sources=sources).fit(few, problem)
    codes = FAR.encode_columns(made(drawn(10, 2, seed=9), slow=True).design)
    low, high = model.interval(codes)
    mean = model.predict(codes).mean
    assert ((low < mean) & (mean < high)).all()


def test_a_model_file_says_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "power.pt")
    again = TransferPpa.load(tmp_path / "power.pt", space=FAR)
    codes = FAR.encode_columns(made(drawn(10, 2, seed=9), slow=True).design)
    assert (again.predict(codes).mean == fitted.predict(codes).mean).all()
    assert (np.stack(again.interval(codes)) == np.stack(fitted.interval(codes))).all()
    assert again.facts() == fitted.facts()
    assert 90 < fitted.facts()["layouts elsewhere"] < 120


def test_what_the_sources_told_of_a_metric_is_kept(sources, monkeypatch):
    asked = []
    learned = Elsewhere.learned
    monkeypatch.setattr(Elsewhere, "learned", lambda *given: asked.append(given[1].metric) or learned(*given))
    model = TransferPpa(space=FAR, sources=sources)
    for seed, metric in ((3, "power_mw"), (4, "power_mw"), (4, "area_mm2")):
        few = InMemoryLog(made(drawn(5, 3, seed=seed), slow=True))
        model.fit(few, Problem(FAR, (Objective(metric),)))
    assert asked == ["power_mw", "area_mm2"]


def test_periods_compare_by_the_slowness_of_technologies(sources):
    rows = made(drawn(2, 3, seed=1), slow=True)
    assert slowness_of(rows).tolist() == [SLOWNESS] * len(rows)
    assert slowness_of(sources[0]).tolist() == [1.0] * len(sources[0])
    assert (relative("clock_ns", 4.2, 4.0), relative("utilization", 0.6, 4.0)) == (1.05, 0.6)
    slow, usual = LayoutsOf.of(rows, POWER), LayoutsOf.of(made(drawn(2, 3, seed=1)), POWER)
    assert slow.knob_columns == usual.knob_columns
    assert (slow.totals == usual.totals).all()
    assert slow.columns.shape == (len(slow.values), len(KNOBS) + slow.totals.shape[1])


def test_what_cannot_be_transferred_is_refused(sources):
    few = made(drawn(5, 3, seed=3), slow=True)
    with pytest.raises(ArmillaryError, match="cannot predict 'energy_pj', which follows from the workload's cycles"):
        TransferPpa(space=FAR, sources=sources).fit(InMemoryLog(few), Problem(FAR, (Objective("energy_pj"),)))
    with pytest.raises(ArmillaryError, match="the sources have 0 feasible layouts with 'power_mw'; 10 are needed"):
        TransferPpa(space=FAR).fit(InMemoryLog(few), POWER)
    mixed = replace(few, options=np.where(np.arange(len(few)) < 7, few.options, ""))
    with pytest.raises(ArmillaryError, match=r"technologies of other slowness \(\[1.0, 4.0\]\)"):
        TransferPpa(space=FAR, sources=sources).fit(InMemoryLog(mixed), POWER)
    with pytest.raises(ArmillaryError, match="asks for designs with knobs of the back end, which space 'edge_tpu' has"):
        TransferPpa(space=EDGE_TPU)
