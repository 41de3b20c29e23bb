import itertools

import numpy as np
import pytest

from armillary.benchmarks.own_log import proposing
from armillary.benchmarks.own_log.rivals import RIVALS, Learned
from armillary.benchmarks.own_log.tables import tables
from armillary.benchmarks.result import BenchOptions
from armillary.surrogates.auto import network
from armillary.types import ArmillaryError

PROBLEM = """
name: chip
parameters:
  rows: {values: [1, 2, 4, 8, 16]}
  cols: {values: [1, 2, 4, 8, 16]}
  flow: {choices: [ws, os, rs]}
  banks: {values: [1, 2, 4, 8]}
candidates: chip.csv
metrics:
  GOAL
  note_mm2: {unit: mm2}
log: {feasible: "status == 'ok'", reason: status, workload: net}
"""


def time_of(rows, cols, flow, banks, net):
    return 1000 / (rows * cols) ** (0.9 if net == "asr" else 0.6) * {"ws": 1, "os": 1.3, "rs": 2}[flow] + banks


def written(folder, goal="time_ms: {unit: ms, goal: minimize}", sign=1.0):
    """Write a table of two networks on every design; those of 256 units and eight banks fail."""
    (folder / "own_log").mkdir(parents=True)
    lines = ["rows,cols,flow,banks,net,time_ms,note_mm2,status"]
    for rows, cols, flow, banks, net in itertools.product(
        (1, 2, 4, 8, 16), (1, 2, 4, 8, 16), ("ws", "os", "rs"), (1, 2, 4, 8), ("asr", "kws")
    ):
        failed = rows * cols == 256 and banks == 8
        time = "" if failed else repr(sign * time_of(rows, cols, flow, banks, net))
        lines.append(f"{rows},{cols},{flow},{banks},{net},{time},{rows * cols / 10},{'no fit' if failed else 'ok'}")
    (folder / "own_log" / "chip.csv").write_text("\n".join(lines) + "\n")
    (folder / "own_log" / "chip.yaml").write_text(PROBLEM.replace("GOAL", goal))
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    (found,) = tables(written(tmp_path_factory.mktemp("data")))
    return found


def test_a_log_lacks_the_best_fifth_of_each_workload(table):
    values = table.problem.values(table.rows)
    log = table.log(200, 3)
    assert len(log) == 200
    for workload in ("asr", "kws"):
        every = values[(table.rows.workload == workload) & np.isfinite(values)]
        logged = table.problem.values(log.select(log.workload == workload))
        assert logged.min() > np.quantile(every, 0.2)
    assert not np.array_equal(table.log(200, 3).metrics["time_ms"], table.log(200, 4).metrics["time_ms"])
    with pytest.raises(ArmillaryError, match="a log needs 600"):
        table.log(600, 0)


def test_a_proposal_is_judged_by_its_row(table):
    log = table.log(200, 0)
    case = table.case("asr", log)
    seen = log.select(log.workload == "asr")
    known = {tuple(code) for code in table.problem.space.encode_columns(seen.design)}
    assert not known & {tuple(code) for code in case.candidates}
    assert len(known) + len(case.candidates) == 300
    space, best = table.problem.space, time_of(16, 16, "ws", 1, "asr")

    def coded(*values):
        return space.encode_columns({name: np.array([v]) for name, v in zip(space.names, values, strict=True)})

    assert case.outcome(coded(16, 16, "ws", 1)) == (1.0, 0.0)
    assert case.outcome(coded(16, 16, "ws", 8)) == (pytest.approx(case.best_logged / best), 1.0)
    both = np.concatenate([coded(16, 16, "ws", 2), coded(16, 16, "ws", 8)])
    assert case.outcome(both) == (pytest.approx((best + 1) / best), 0.5)
    assert case.best_logged == pytest.approx(table.problem.values(seen).min())


def test_metrics_below_zero_are_judged_by_the_distance_to_the_optimum(tmp_path):
    (table,) = tables(written(tmp_path, "time_ms: {unit: score, goal: minimize}", sign=-1.0))
    case = table.case("asr", table.log(200, 0))
    worst = max(value for value in case.truth.values() if np.isfinite(value))
    far = case._beside_optimum(worst)
    assert case._beside_optimum(min(case.truth.values())) == 1
    assert far > 2


def test_a_table_needs_its_problem(tmp_path):
    with pytest.raises(ArmillaryError, match=r"has no table NAME\.csv"):
        tables(tmp_path)
    (written(tmp_path) / "own_log" / "chip.yaml").unlink()
    with pytest.raises(ArmillaryError, match=r"has no problem file chip\.yaml beside it"):
        tables(tmp_path)


def test_our_problem_files_fit_the_shared_tables(shared_data):
    found = {table.name: table for table in tables(shared_data)}
    assert len(found["runs"].rows) == 3000
    assert found["runs"].workloads == ["asr_v1", "kws_v3"]
    assert found["runs"].rows.feasible.sum() == 1892
    conv = found["kernel_tuner_conv_a100"]
    assert (len(conv.rows), int(conv.rows.feasible.sum()), conv.problem.metric) == (4362, 4201, "time_ms")


def test_every_rival_chooses_each_design_once(table):
    log = table.log(200, 0)
    learned, case = Learned.of(log, table.problem), table.case("asr", log)
    for rival in RIVALS.values():
        rank = rival(learned, 0)
        assert len(set(rank(case.candidates, "asr", 8).tolist())) == 8
        assert sorted(rank(case.candidates, "asr", 5000).tolist()) == list(range(len(case.candidates)))


@pytest.mark.parametrize("name", [name for name in RIVALS if name not in ("TPE", "random")])
def test_models_find_better_designs_than_chance(table, name):
    ratios: dict[str, list[float]] = {name: [], "random": []}
    for seed in range(3):
        log = table.log(200, seed)
        learned, case = Learned.of(log, table.problem), table.case("kws", log)
        for rival, found in ratios.items():
            places = RIVALS[rival](learned, seed)(case.candidates, "kws", 8)
            found.append(case.outcome(case.candidates[places])[0])
    assert np.mean(ratios[name]) < np.mean(ratios["random"])


def test_the_bench_runs_the_products_own_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "_FEWEST_STEPS", 60)
    monkeypatch.setattr(network, "_MOST_STEPS", 60)
    monkeypatch.setattr(proposing, "SIZES", (200,))
    monkeypatch.setattr(proposing, "PROPOSED", (8,))
    monkeypatch.setattr(proposing, "INFEASIBLE_AT", 200)
    monkeypatch.setattr(proposing, "RIVALS", {name: RIVALS[name] for name in ("ridge with pairs", "random")})
    options = BenchOptions(written(tmp_path / "data"), True, 0, tmp_path / "out", lambda *_: None)
    (tmp_path / "out").mkdir()
    result = proposing.run(options)
    found = {(row["table"], row["method"]): row["best / optimum"] for row in result.rows}
    assert set(found) == {
        (f"chip, {net}", name) for net in ("asr", "kws") for name in ("auto", "ridge with pairs", "random")
    }
    for net in ("asr", "kws"):
        assert 1 <= found[f"chip, {net}", "auto"] < 1.5
    assert list((tmp_path / "out").glob("chip-200-0-*.json"))
    with pytest.raises(ArmillaryError, match="own-log needs --data DIR"):
        proposing.run(BenchOptions(None, True, 0, tmp_path, lambda *_: None))


def rows(ours, best, infeasible=0.0, seconds=1.0, other=(9.0, 9.0)):
    told = {"rows": 500, "proposals": 16, "infeasible": infeasible, "training s": seconds}
    return [
        {"table": table, "method": method, "best / optimum": ratio, **told}
        for method, ratios in (("auto", ours), ("ridge", best), ("other", other))
        for table, ratio in zip(("a", "b"), ratios, strict=True)
    ]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (rows((1.0, 1.2), (1.1, 1.2)), []),
        (rows((1.0, 1.3), (1.1, 1.2)), ["over a table's best method"]),
        (rows((1.2, 1.2), (1.1, 1.2)), ["geometric mean", "over a table's best method"]),
        (rows((1.0, 1.2), (1.1, 1.2), other=(9.0, 1.1)), ["over a table's best method"]),
        (rows((1.0, 1.2), (1.1, 1.2), infeasible=0.2), ["infeasible share"]),
        (rows((1.0, 1.2), (1.1, 1.2), seconds=30.0), ["seconds of training"]),
    ],
)
def test_each_claim_is_checked(given, wrong, monkeypatch):
    monkeypatch.setattr(proposing, "PROPOSED", (16,))
    failed = [check.name for check in proposing._checks(given) if not check.ok]
    assert len(failed) == len(wrong)
    for name, text in zip(failed, wrong, strict=True):
        assert text in name
