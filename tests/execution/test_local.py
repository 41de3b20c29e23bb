"""In this process: failures are rows, the log is what is known, and order and counts are those of the request."""

import numpy as np
import pytest

from armillary.evaluators import spec_of
from armillary.execution import memory
from armillary.execution.limits import Limits
from armillary.execution.local import BATCH_ROWS, LocalExecutor, evaluated_codes
from armillary.hardware.templates.axiline import TEMPLATE as AXILINE
from armillary.hardware.templates.edge_tpu import SPACE as EDGE_TPU
from armillary.log.compaction import compact
from armillary.log.fragments import Fragments
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import told
from armillary.types import ArmillaryError, Candidate, Evaluations, Fidelity
from armillary.workloads import zoo
from armillary.workloads.algorithm import Algorithm, Tree
from armillary.workloads.layer import Layer, LayerUse, Workload
from execution.fakes import DOES, SPACE, WORKLOAD, asked, design, make, spec


def candidates(*does):
    return [Candidate(design(name, number)) for number, name in enumerate(does)]


def codes(*does):
    return np.array([[DOES.index(name), number] for number, name in enumerate(does)])


def run(executor, evaluator, *does):
    return list(executor.run(evaluator, candidates(*does), WORKLOAD))


def kinds(evaluations):
    return [e.failure.kind if e.failure else "" for e in evaluations]


def test_one_that_breaks_is_a_row_and_the_others_go_on(tmp_path, log):
    found = run(LocalExecutor(log, make=make), spec(tmp_path), "good", "raises", "infeasible", "good")
    assert kinds(found) == ["", "error", "infeasible", ""]
    assert str(found[1].failure) == "error: ValueError: size 1 is odd"
    assert [e.metrics.get("runtime_s") for e in found] == [1.0, None, None, 4.0]
    rows = log.evaluations("fakes")
    assert rows.failure_kind.tolist() == ["", "error", "infeasible", ""]
    assert rows.failure_detail[1] == "ValueError: size 1 is odd"


def test_another_log_is_kept_apart(tmp_path, log):
    executor, other = LocalExecutor(log, make=make), Log(tmp_path / "other")
    run(executor, spec(tmp_path), "good")
    found = run(executor.onto(other), spec(tmp_path), "good", "raises")
    assert kinds(found) == ["", "error"]
    assert (len(log.evaluations("fakes")), len(other.evaluations("fakes"))) == (1, 2)


def test_a_batch_that_breaks_fails_only_those_designs_that_break_it(tmp_path):
    count = BATCH_ROWS + 6
    every = np.stack([np.zeros(count, dtype=np.int64), np.arange(count) % 20], axis=1)  # good ones
    every[BATCH_ROWS + 2, 0] = every[BATCH_ROWS + 4, 0] = DOES.index("raises")
    parts = list(LocalExecutor(make=make).run_codes(spec(tmp_path, "batches"), SPACE, every, WORKLOAD))
    assert [len(part) for part in parts] == [BATCH_ROWS, 6]
    broken = np.flatnonzero(~np.concatenate([part.feasible for part in parts]))
    assert broken.tolist() == [BATCH_ROWS + 2, BATCH_ROWS + 4]
    odd = every[broken[0], 1]
    assert str(parts[1].failure(2)) == f"error: ValueError: size {odd} is odd"
    rest = np.array([0, 1, 3, 5])
    assert parts[1].metrics["runtime_s"][rest].tolist() == (1.0 + every[BATCH_ROWS + rest, 1]).tolist()
    batches = [line for line in asked(tmp_path) if line.startswith("batch")]
    assert batches == [f"batch of {BATCH_ROWS}", "batch of 6"]  # the first one was not taken apart


def test_time_that_a_tool_ran_out_of_is_a_timeout(tmp_path):
    (found,) = run(LocalExecutor(make=make), spec(tmp_path), "too long")
    assert str(found.failure) == "timeout: not done after 10 cycles"


def test_a_simulation_past_its_bound_of_cycles_is_a_timeout():
    from armillary import evaluators
    from armillary.hardware.templates.gemmini import SPACE as GEMMINI
    from armillary.hardware.templates.gemmini import TEMPLATE

    small = {"dim": 4, "bus_bytes": 4, "scratchpad_kib": 8, "accumulator_kib": 8}
    candidate = Candidate(GEMMINI.design_from({**TEMPLATE.baseline.as_dict(), **small}, "test"))
    rtl = evaluators.spec_of("gemmini", Fidelity.RTL, {"most_cycles": 10, "budget": 50})
    (found,) = LocalExecutor().run(rtl, [candidate], Workload("one", (LayerUse(Layer("dense", "gemm", K=8, C=8)),)))
    assert str(found.failure) == "timeout: layer dense: not done after 10 cycles"


@pytest.mark.parametrize("kind", ["plain", "batches"])
def test_a_wrong_request_stops_the_run_and_what_came_before_is_kept(tmp_path, log, kind):
    executor = LocalExecutor(log, make=make)
    if kind == "plain":
        with pytest.raises(ArmillaryError, match="tool not found: pip install tool"):
            run(executor, spec(tmp_path), "good", "wrong", "good")
        assert asked(tmp_path) == ["good 0", "wrong 1"]
        assert log.evaluations("fakes").design["size"].tolist() == [0]
    else:
        every = np.tile(codes("good"), (BATCH_ROWS + 1, 1))
        every[-1] = codes("wrong")
        with pytest.raises(ArmillaryError, match="tool not found: pip install tool"):
            list(executor.run_codes(spec(tmp_path, "batches"), SPACE, every, WORKLOAD))
        assert len(log) == BATCH_ROWS


def test_accidents_are_retried_so_many_times_and_never_say_infeasible(tmp_path, log):
    executor = LocalExecutor(log, limits=Limits(retries=2), make=make)
    twice, thrice = design("passing", 2), design("passing", 3)
    found = list(executor.run(spec(tmp_path), [Candidate(twice), Candidate(thrice)], WORKLOAD))
    assert asked(tmp_path) == ["passing 2"] * 3 + ["passing 3"] * 3
    assert found[0].feasible
    assert str(found[1].failure) == "error: accident, 3 times: tool: ended by SIGKILL"
    (again,) = executor.run(spec(tmp_path), [Candidate(thrice)], WORKLOAD)  # the fourth time
    assert again.feasible


def test_what_raises_is_not_retried(tmp_path):
    run(LocalExecutor(limits=Limits(retries=5), make=make), spec(tmp_path), "raises", "too long")
    assert asked(tmp_path) == ["raises 0", "too long 1"]


def test_no_retries_are_none(tmp_path):
    (found,) = run(LocalExecutor(limits=Limits(retries=0), make=make), spec(tmp_path), "accident")
    assert (asked(tmp_path), str(found.failure)) == (
        ["accident 0"], "error: accident, 1 times: tool: ended by SIGKILL"
    )  # fmt: skip


@pytest.mark.parametrize("again", ["the same", "another"])
def test_what_is_settled_is_known_and_what_broke_is_evaluated_again(tmp_path, log, again):
    does = ("good", "infeasible", "raises", "too long", "accident")
    first = LocalExecutor(log, limits=Limits(retries=0), make=make)
    before = run(first, spec(tmp_path), *does)
    assert len(asked(tmp_path)) == 5
    executor = first if again == "the same" else LocalExecutor(log, limits=Limits(retries=0), make=make)
    after = run(executor, spec(tmp_path), *does)
    assert asked(tmp_path) == ["raises 2", "too long 3", "accident 4"]
    assert [told(e) for e in after] == [told(e) for e in before]
    assert [e.time == b.time for e, b in zip(after, before, strict=True)] == [True, True, False, False, False]
    assert executor.evaluated == (8 if again == "the same" else 3)
    assert len(log) == 8


def test_settled_rows_of_batches_are_known(tmp_path, log):
    every = codes("good", "infeasible", "raises", "good")
    evaluator = spec(tmp_path, "batches")
    (first,) = LocalExecutor(log, make=make).run_codes(evaluator, SPACE, every, WORKLOAD)
    asked(tmp_path)
    executor = LocalExecutor(log, make=make)
    order = [3, 2, 0, 1, 0]
    (second,) = executor.run_codes(evaluator, SPACE, every[order], WORKLOAD)
    assert asked(tmp_path) == ["batch of 1", "raises 2"]  # the one that broke; it breaks again, and is asked alone
    assert second.design["size"].tolist() == order
    assert [str(second.failure(i)) for i in range(5)] == [str(first.failure(i)) for i in order]
    assert executor.evaluated == 1
    (known,) = executor.run_codes(evaluator, SPACE, every[[0, 1]], WORKLOAD)
    assert known.time.tolist() == first.time[[0, 1]].tolist()
    assert asked(tmp_path) == []


def test_of_a_large_log_only_the_rows_that_are_asked_for_are_at_hand(tmp_path, log, monkeypatch):
    evaluator = spec(tmp_path, "batches")
    every = codes(*["good"] * 12)
    list(LocalExecutor(log, make=make).run_codes(evaluator, SPACE, every[:8], WORKLOAD))
    monkeypatch.setattr(memory, "MOST_AT_HAND", 4)
    executor = LocalExecutor(log, make=make)
    for asked_for in ([1, 2], [2, 5], [7, 9], [9, 0]):
        rows = Evaluations.concat(list(executor.run_codes(evaluator, SPACE, every[asked_for], WORKLOAD)))
        assert rows.metrics["runtime_s"].tolist() == [1.0 + size for size in asked_for]
    assert executor.evaluated == 1  # the tenth, once
    (known,) = executor._memory._known.values()
    assert sum(map(len, known.rows.values())) <= 6


def test_what_one_part_of_a_log_holds_is_not_looked_for_in_others(tmp_path, log, monkeypatch):
    evaluator = spec(tmp_path, "batches")
    every = codes(*["good"] * 8)
    list(LocalExecutor(log, make=make).run_codes(evaluator, SPACE, every, WORKLOAD))
    rows = log.evaluations("fakes")
    for which in (slice(3, 4), slice(6, 7)):
        log.append(rows.select(which))
    read = []
    group = Fragments.group
    monkeypatch.setattr(Fragments, "group", lambda self, one, *more: read.append(one.rows) or group(self, one, *more))
    executor = LocalExecutor(log, make=make)
    list(executor.run_codes(evaluator, SPACE, every, WORKLOAD))
    assert (executor.evaluated, set(read)) == (0, {8})


def test_rows_are_known_wherever_a_compaction_moves_them_meanwhile(tmp_path, log):
    evaluator = spec(tmp_path, "batches")
    every = codes(*["good"] * 6)
    for code in every:
        list(LocalExecutor(log, make=make).run_codes(evaluator, SPACE, code[None], WORKLOAD))
    executor = LocalExecutor(log, make=make)
    list(executor.run_codes(evaluator, SPACE, every[:1], WORKLOAD))  # which learns where the rows lie
    compact(Log(log.path))
    rows = Evaluations.concat(list(executor.run_codes(evaluator, SPACE, every, WORKLOAD)))
    assert (executor.evaluated, len(rows), len(log)) == (0, 6, 6)


@pytest.mark.parametrize("other", [{"version": "2"}, {"effort": 3}, {"kind": "layers"}], ids=str)
def test_rows_of_another_version_or_other_options_are_not_known(tmp_path, log, other):
    run(LocalExecutor(log, make=make), spec(tmp_path), "good", "infeasible")
    asked(tmp_path)
    executor = LocalExecutor(log, make=make)
    run(executor, spec(tmp_path, **other), "good", "infeasible")
    assert [line for line in asked(tmp_path) if "layer" not in line] == ["good 0", "infeasible 1"]
    run(executor, spec(tmp_path, **other), "good", "infeasible")
    run(executor, spec(tmp_path), "good", "infeasible")
    assert (asked(tmp_path), executor.evaluated) == ([], 2)


def test_another_workload_is_not_known_and_one_of_the_same_name_is_refused(tmp_path, log):
    run(LocalExecutor(log, make=make), spec(tmp_path), "good")
    asked(tmp_path)
    other = Workload("other", WORKLOAD.layers)
    list(LocalExecutor(log, make=make).run(spec(tmp_path), candidates("good"), other))
    assert asked(tmp_path) == ["good 0"]
    false = Workload("two", WORKLOAD.layers[:1])
    with pytest.raises(ArmillaryError, match=r"holds another workload named 'two': its .* is"):
        list(LocalExecutor(log, make=make).run(spec(tmp_path), candidates("good"), false))


def test_the_order_is_that_of_the_request_with_known_ones_among_them(tmp_path, log):
    executor = LocalExecutor(log, make=make)
    list(executor.run(spec(tmp_path), [Candidate(design("good", size)) for size in (1, 4)], WORKLOAD))
    asked(tmp_path)
    sizes = [5, 4, 3, 1, 0]
    found = list(executor.run(spec(tmp_path), [Candidate(design("good", size)) for size in sizes], WORKLOAD))
    assert [e.design["size"] for e in found] == sizes
    assert [e.metrics["runtime_s"] for e in found] == [1.0 + size for size in sizes]
    assert asked(tmp_path) == ["good 5", "good 3", "good 0"]


def test_the_counters_count_what_was_evaluated_and_nothing_known(tmp_path, log):
    executor = LocalExecutor(log, make=make)
    run(executor, spec(tmp_path), "good", "raises", "infeasible", "good")
    assert (executor.evaluated, executor.feasible) == (4, 2)
    run(executor, spec(tmp_path), "good", "raises")
    assert (executor.evaluated, executor.feasible) == (5, 2)
    list(executor.run_codes(spec(tmp_path, "batches"), SPACE, codes("good", "raises", "infeasible"), WORKLOAD))
    assert (executor.evaluated, executor.feasible) == (8, 3)
    list(executor.run_codes(spec(tmp_path, "batches"), SPACE, codes("good", "raises"), WORKLOAD))
    assert (executor.evaluated, executor.feasible) == (9, 3)


def test_without_a_log_nothing_is_known(tmp_path):
    executor = LocalExecutor(make=make)
    run(executor, spec(tmp_path), "good")
    run(executor, spec(tmp_path), "good")
    assert asked(tmp_path) == ["good 0"] * 2


def test_results_come_as_they_are_evaluated(tmp_path, log):
    results = LocalExecutor(log, make=make).run(spec(tmp_path), candidates("good", "good", "good"), WORKLOAD)
    assert next(results).design["size"] == 0
    assert asked(tmp_path) == ["good 0"]
    results.close()  # the caller wants no more: what there is is kept
    assert (asked(tmp_path), len(log)) == ([], 1)


def test_slow_designs_of_codes_come_as_a_second_brings_them(tmp_path):
    every = np.array([[DOES.index("slow"), size] for size in (7, 7, 1, 1)])
    parts = list(LocalExecutor(make=make).run_codes(spec(tmp_path), SPACE, every, WORKLOAD))
    assert [part.design["size"].tolist() for part in parts] == [[7, 7], [1, 1]]


def test_an_evaluator_is_made_once_per_specification(tmp_path):
    made = []
    executor = LocalExecutor(make=lambda asked_for: made.append(asked_for) or make(asked_for))
    one, other = spec(tmp_path), spec(tmp_path, effort=1)
    for evaluator in (one, other, one):
        run(executor, evaluator, "good", "good")
    assert made == [one, other]


def test_given_mappings_make_another_answer_than_the_evaluators_own(tmp_path, log):
    evaluator = spec(tmp_path, "layers")
    own, brought = Candidate(design("good")), Candidate(design("good"), {"a": "as given, which takes long"})
    executor = LocalExecutor(log, make=make)
    (given,) = executor.run(evaluator, [brought], WORKLOAD)
    (found,) = executor.run(evaluator, [own], WORKLOAD)
    assert found.metrics["delay_cycles"] < given.metrics["delay_cycles"]
    assert given.options == {**evaluator.options, "mappings": "given"}
    for fresh in (executor, LocalExecutor(log, make=make)):
        asked(tmp_path)
        (known,) = fresh.run(evaluator, [own], WORKLOAD)
        assert (known.metrics, known.layers, asked(tmp_path)) == (found.metrics, found.layers, [])
        (again,) = fresh.run(evaluator, [brought], WORKLOAD)
        assert again.metrics == given.metrics


def test_codes_are_evaluated_without_keeping_them():
    workload = zoo.build("mobilenet_v2")
    from armillary import evaluators

    edge_tpu = evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL)
    every = sample(EDGE_TPU, 3, "random", 0)
    rows = evaluated_codes(edge_tpu, EDGE_TPU, every, workload)
    assert isinstance(rows, Evaluations)
    assert (EDGE_TPU.encode_columns(rows.design) == every).all()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"time_limit_s": 0.0}, r"time_limit_s=0\.0 is not allowed; it must be positive"),
        ({"memory_limit_bytes": -1}, r"memory_limit_bytes=-1 is not allowed; it must be positive"),
        ({"retries": -1}, r"retries=-1 is not allowed; it must be at least 0"),
    ],
)
def test_limits_are_checked(limits, message):
    with pytest.raises(ArmillaryError, match=message):
        Limits(**limits)


def test_only_limits_of_time_and_memory_need_a_process():
    assert not Limits().needs_process
    assert Limits(time_limit_s=1.0).needs_process
    assert Limits(memory_limit_bytes=1 << 30).needs_process


TREE = Workload("tree", (), algorithm=Algorithm("decision_tree", "inference", 1, tree=Tree((0,), (0.0,), (1.0, 2.0))))


def test_an_algorithm_without_layers_is_nothing_for_an_evaluator_of_layers():
    spec_ = spec_of("edge_tpu", Fidelity.ANALYTICAL)
    codes, executor = sample(EDGE_TPU, 2, "random", 0), LocalExecutor()
    message = "workload tree is the algorithm decision_tree and has no layers, .* 'edge_tpu' evaluates"
    with pytest.raises(ArmillaryError, match=message):
        next(executor.run_codes(spec_, EDGE_TPU, codes, TREE))
    with pytest.raises(ArmillaryError, match=message):
        next(executor.run(spec_, [Candidate(EDGE_TPU.design(codes[0]))], TREE))


def test_an_evaluator_of_layouts_takes_what_the_one_that_counts_its_cycles_takes():
    """The design is made for another algorithm, so that nothing is laid out."""
    answer = next(LocalExecutor().run(spec_of("axiline", Fidelity.PHYSICAL), [Candidate(AXILINE.baseline)], TREE))
    assert answer.failure.resource == "algorithm"


def test_an_evaluator_of_algorithms_takes_it():
    values = {"algorithm": "decision_tree", "mode": "inference", "dimension": 1, "cycles": 1}
    found = AXILINE.space.design_from({**AXILINE.defaults, **values}, "test")
    assert next(LocalExecutor().run(spec_of("axiline", Fidelity.ANALYTICAL), [Candidate(found)], TREE)).feasible
