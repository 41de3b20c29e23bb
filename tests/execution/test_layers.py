"""Runs of layers: those that evaluations are added up from, and layers alone."""

from dataclasses import replace

import pytest

from armillary import evaluators
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import SPACE as GEMMINI
from armillary.hardware.templates.gemmini import TEMPLATE
from armillary.log.store import Log
from armillary.types import ArmillaryError, Candidate, Cost, Failure, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
from execution.fakes import WORKLOAD, asked, design, make, spec

A, B = (use.layer for use in WORKLOAD.layers)
GOOD = Candidate(design("good"))


def layers(folder, **options):
    return spec(folder, "layers", **options)


def run(executor, evaluator, *candidates):
    return list(executor.run(evaluator, candidates, WORKLOAD))


def test_layers_come_back_with_known_evaluations(tmp_path, log):
    evaluator = layers(tmp_path)
    first = LocalExecutor(log, make=make)
    fresh = run(first, evaluator, GOOD, Candidate(design("good", 3)))
    assert [(r.layer, r.layer.name, r.runs, r.mapping) for r in fresh[0].layers] == [
        (A, "a", 1, "found for a"), (B, "b", 2, "found for b")
    ]  # fmt: skip
    asked(tmp_path)
    for executor in (first, LocalExecutor(log, make=make)):
        known = run(executor, evaluator, Candidate(design("good", 3)), GOOD)
        assert [e.layers for e in known] == [fresh[1].layers, fresh[0].layers]
        assert [[r.layer.name for r in e.layers] for e in known] == [["a", "b"]] * 2  # names take no part in equality
    assert asked(tmp_path) == []


def test_layers_are_read_from_the_log_once(tmp_path, log, monkeypatch):
    evaluator = layers(tmp_path)
    sizes = range(5)
    run(LocalExecutor(log, make=make), evaluator, *(Candidate(design("good", size)) for size in sizes))
    reads = []
    layers_of = Log.layers_of
    monkeypatch.setattr(Log, "layers_of", lambda self, rows: reads.append(len(rows)) or layers_of(self, rows))
    executor = LocalExecutor(log, make=make)
    for size in sizes:
        (known,) = run(executor, evaluator, Candidate(design("good", size)))
        assert len(known.layers) == 2
    assert reads == [5]


def told(order, name, function):
    """Return a function that notes its name first."""
    return lambda *given: order.append(name) or function(*given)


def test_layers_are_appended_before_their_evaluations(tmp_path, log, monkeypatch):
    order = []
    for name in ("append", "append_layers"):
        before = getattr(Log, name)
        monkeypatch.setattr(Log, name, told(order, name, before))
    run(LocalExecutor(log, make=make), layers(tmp_path), GOOD)
    assert order == ["append_layers", "append"]


def test_a_writer_killed_between_the_two_leaves_nothing_that_lacks_its_layers(tmp_path, log, monkeypatch):
    monkeypatch.setattr(Log, "append", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        run(LocalExecutor(log, make=make), layers(tmp_path), GOOD)
    monkeypatch.undo()
    asked(tmp_path)
    (again,) = run(LocalExecutor(log, make=make), layers(tmp_path), GOOD)
    assert asked(tmp_path) == ["layer a", "layer b", "good 0"]
    (known,) = run(LocalExecutor(log, make=make), layers(tmp_path), GOOD)
    assert known.layers == again.layers


def test_layers_alone_are_kept_and_not_run_again(tmp_path, log):
    evaluator = layers(tmp_path)
    first = LocalExecutor(log, make=make)
    found = first.run_layers(evaluator, GOOD, [B, A])
    assert [(r.layer.name, r.metrics) for r in found] == [
        ("b", {"delay_cycles": 11.0 * 36}),
        ("a", {"delay_cycles": 352.0}),
    ]
    assert (asked(tmp_path), first.evaluated, first.feasible) == (["layer b", "layer a"], 2, 2)
    rows = log.layer_runs("fakes")
    assert (rows.layer.tolist(), rows.workload.tolist()) == (["b", "a"], ["", ""])
    for executor in (first, LocalExecutor(log, make=make)):
        before = executor.evaluated
        assert executor.run_layers(evaluator, GOOD, [A, B]) == found[::-1]
        assert (asked(tmp_path), executor.evaluated) == ([], before)
    assert len(log.layer_runs("fakes")) == 2
    assert log.fragments() == []  # runs alone are no evaluations


def test_another_mapping_is_run_and_so_is_the_evaluators_own(tmp_path, log):
    evaluator = layers(tmp_path)
    executor = LocalExecutor(log, make=make)
    longer = Candidate(design("good"), {"a": "a mapping that was given"})
    (given,) = executor.run_layers(evaluator, longer, [A])
    (own,) = executor.run_layers(evaluator, GOOD, [A])
    (other,) = executor.run_layers(evaluator, Candidate(design("good"), {"a": "another"}), [A])
    assert [r.mapping for r in (given, own, other)] == ["a mapping that was given", "found for a", "another"]
    assert asked(tmp_path) == ["layer a"] * 3
    for again in (executor, LocalExecutor(log, make=make)):
        assert again.run_layers(evaluator, longer, [A]) == [given]
        assert again.run_layers(evaluator, GOOD, [A]) == [own]
        # what the evaluator found itself may be asked for by its text
        assert again.run_layers(evaluator, Candidate(design("good"), {"a": "found for a"}), [A]) == [own]
    assert asked(tmp_path) == []


@pytest.mark.parametrize("other", ["design", "version", "options", "shape", "workload"])
def test_what_differs_is_not_known(tmp_path, log, other):
    evaluator, candidate, layer = layers(tmp_path), GOOD, A
    if other == "workload":  # runs within a network may be mapped together
        run(LocalExecutor(log, make=make), evaluator, GOOD)
    else:
        LocalExecutor(log, make=make).run_layers(evaluator, GOOD, [A])
    asked(tmp_path)
    if other == "design":
        candidate = Candidate(design("good", 1))
    elif other == "version":
        evaluator = layers(tmp_path, version="2")
    elif other == "options":
        evaluator = layers(tmp_path, effort=1)
    elif other == "shape":
        layer = replace(A, K=5)
    (found,) = LocalExecutor(log, make=make).run_layers(evaluator, candidate, [layer])
    assert asked(tmp_path) == ["layer a"]
    assert (found.design, found.layer) == (candidate.design, layer)


def test_a_layer_that_is_packed_is_known_by_its_own_name_and_shape(tmp_path, log):
    small = {"dim": 4, "bus_bytes": 4, "scratchpad_kib": 8, "accumulator_kib": 8}
    candidate = Candidate(GEMMINI.design_from({**TEMPLATE.baseline.as_dict(), **small}, "test"))
    depthwise = Layer("dw", "depthwise", K=12, C=12, P=6, groups=12)
    evaluator = evaluators.spec_of("gemmini", Fidelity.ANALYTICAL, {"budget": 50})
    executor = LocalExecutor(log)
    (found,) = executor.run_layers(evaluator, candidate, [depthwise])
    assert found.layer.groups == 3
    again = LocalExecutor(log)
    assert again.run_layers(evaluator, candidate, [depthwise]) == [found]
    assert again.evaluated == 0


def test_layers_that_break_fail_alone_and_are_run_again(tmp_path, log):
    evaluator, candidate = layers(tmp_path), Candidate(design("raises", 1))
    found = LocalExecutor(log, make=make).run_layers(evaluator, candidate, [A, B])
    assert found[0].failure is None
    assert found[1] == replace(found[1], layer=B, mapping="", metrics={}, failure=found[1].failure)
    assert str(found[1].failure) == "error: ValueError: size 1 is odd"
    asked(tmp_path)
    executor = LocalExecutor(log, make=make)
    again = executor.run_layers(evaluator, candidate, [A, B])
    assert asked(tmp_path) == ["layer b", "layer b"]  # together, then by itself
    assert (again, executor.evaluated, executor.feasible) == (found, 1, 0)


def test_layers_that_cannot_run_are_known(tmp_path, log):
    evaluator, candidate = layers(tmp_path), Candidate(design("good"), {"a": "does not fit"})
    (found,) = LocalExecutor(log, make=make).run_layers(evaluator, candidate, [A])
    assert found.failure == Failure("infeasible", "rows", "a", 2.0, 1.0)
    asked(tmp_path)
    assert LocalExecutor(log, make=make).run_layers(evaluator, candidate, [A]) == [found]
    assert asked(tmp_path) == []


def test_accidents_of_layers_are_retried(tmp_path):
    executor = LocalExecutor(limits=Limits(retries=2), make=make)
    good, bad = (executor.run_layers(layers(tmp_path), Candidate(design("passing", size)), [B])[0] for size in (3, 4))
    assert good.failure is None  # once together, then thrice by itself
    assert str(bad.failure) == "error: accident, 3 times: tool: ended by SIGKILL"


def test_a_wrong_request_stops_layers(tmp_path, log):
    with pytest.raises(ArmillaryError, match="tool not found"):
        LocalExecutor(log, make=make).run_layers(layers(tmp_path), Candidate(design("wrong")), [A, B])
    assert log.of_layer_runs.all() == []


def test_an_evaluator_of_networks_runs_no_layers_alone(tmp_path):
    with pytest.raises(ArmillaryError, match="evaluator fake runs no layers alone"):
        LocalExecutor(make=make).run_layers(spec(tmp_path), GOOD, [A])


def test_limits_hold_for_layers_too(tmp_path, log, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", "2")
    evaluator = layers(tmp_path, cost=Cost.MINUTES)
    executor = LocalExecutor(log, limits=Limits(time_limit_s=3), make=make)
    found = executor.run_layers(evaluator, Candidate(design("hangs")), [B, A])
    assert str(found[0].failure) == "timeout: no result within 3 s"
    assert (found[0].layer, found[0].metrics, found[1].failure) == (B, {}, None)


def test_a_log_of_another_space_knows_no_layers(tmp_path, log):
    design_of_another = Candidate(TEMPLATE.baseline)
    evaluator = evaluators.spec_of("gemmini", Fidelity.ANALYTICAL, {"budget": 20})
    LocalExecutor(log).run_layers(evaluator, design_of_another, [A])
    (found,) = LocalExecutor(log, make=make).run_layers(layers(tmp_path), GOOD, [A])
    assert found.design == GOOD.design


def test_a_network_needs_layers_of_different_names(tmp_path, log):
    twice = Workload("twice", (LayerUse(A), LayerUse(replace(B, name="a"))))
    with pytest.raises(ArmillaryError, match="tells two runs of layers named 'a'"):
        list(LocalExecutor(log, make=make).run(layers(tmp_path), [GOOD], twice))
