import pytest
import yaml

from armillary.log.own_rows import read_own_rows
from armillary.log.sheet import read_table
from armillary.problems.problem_file import read_problem
from armillary.studies.guessing import guess, problem_text, told
from armillary.types import ArmillaryError


def runs(tmp_path, header, *rows):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def grown(tmp_path):
    """A log of 48 runs with columns of every kind; a third failed."""
    rows = []
    for i in range(48):
        pes, step, clock = (4, 8, 16, 32)[i % 4], (10, 20, 30, 40, 50, 60, 70, 80)[i % 8], (0.5, 1.5)[i % 2]
        ok = i % 3 != 0
        rows.append(
            f"{i},{pes},{step},{clock},{('ws', 'os')[i % 2]},{('true', 'false')[i // 2 % 2]},"
            f"{('asr', 'kws')[i // 4 % 2]},"
            f"{1000 / pes + i if ok else ''},{2.0 * pes + i / 7:.3f},{'passed' if ok else 'TIMING'},note {i}"
        )
    return runs(tmp_path, "id,PE count,step,clock_ghz,flow,double,network,latency_ms,area_mm2,status,comment", *rows)


def test_each_column_is_taken_for_what_it_is(tmp_path):
    found = {g.column: (g.role, g.name) for g in guess(read_table(grown(tmp_path)))}
    assert found == {
        "id": ("ignored", "id"),
        "PE count": ("parameter", "PE_count"),
        "step": ("parameter", "step"),
        "clock_ghz": ("parameter", "clock_ghz"),
        "flow": ("parameter", "flow"),
        "double": ("parameter", "double"),
        "network": ("workload", "network"),
        "latency_ms": ("metric", "latency_ms"),
        "area_mm2": ("metric", "area_mm2"),
        "status": ("status", "status"),
        "comment": ("ignored", "comment"),
    }


def test_the_file_it_writes_reads_the_log_that_it_was_guessed_from(tmp_path):
    path = grown(tmp_path)
    sheet = read_table(path)
    text = problem_text("mine", guess(sheet), str(path), sheet)
    (tmp_path / "problem.yaml").write_text(text)
    problem = read_problem(tmp_path / "problem.yaml")
    kinds = {p.name: (p.values, p.kind) for p in problem.space.parameters}
    assert kinds == {
        "PE_count": ((4, 8, 16, 32), "cardinal"),
        "step": (tuple(range(10, 90, 10)), "ordinal"),
        "clock_ghz": ((0.5, 1.5), "cardinal"),
        "flow": (("os", "ws"), "categorical"),
        "double": ((False, True), "categorical"),
    }
    assert [(o.metric, o.direction) for o in problem.objectives] == [("latency_ms", "minimize")]
    assert (problem.metrics["latency_ms"].unit, problem.metrics["area_mm2"].unit) == ("ms", "mm2")
    found = read_own_rows(path, problem)
    assert (found.faults, found.faulty) == ((), 0)
    assert found.evaluations.feasible.tolist() == [i % 3 != 0 for i in range(48)]
    assert set(found.evaluations.failure_detail.tolist()) == {"", "TIMING"}
    assert set(found.evaluations.workload.tolist()) == {"asr", "kws"}


def test_more_is_better_of_a_throughput(tmp_path):
    path = runs(tmp_path, "unroll,GFLOPS", *(f"{2 ** (i % 4)},{i * 1.37}" for i in range(40)))
    (metric,) = (g for g in guess(read_table(path)) if g.role == "metric")
    assert metric.form == {"unit": "GFLOP/s", "goal": "maximize"}
    assert "the goal by its name" in metric.why


def test_names_that_every_log_has_are_given_others(tmp_path):
    path = runs(tmp_path, "seed,time,class", *(f"{i % 4},{i * 1.37},{'ab'[i % 2]}" for i in range(40)))
    sheet = read_table(path)
    guesses = guess(sheet)
    assert [g.name for g in guesses] == ["own_seed", "own_time", "own_class"]
    content = yaml.safe_load(problem_text("mine", guesses, "runs.csv", sheet))
    assert content["log"]["columns"] == {"seed": "own_seed", "time": "own_time", "class": "own_class"}


def test_a_table_of_most_combinations_hints_at_a_list_of_candidates(tmp_path):
    rows = [f"{a},{b},{a * b + 0.1}" for a in (1, 2, 4, 8) for b in (1, 2, 4, 8) if a * b <= 16]
    path = runs(tmp_path, "a,b,latency", *rows)
    sheet = read_table(path)
    assert "# candidates: runs.csv  # if its rows are all designs that exist: they are 81% of all" in problem_text(
        "mine", guess(sheet), "runs.csv", sheet
    )


def test_every_guess_says_why(tmp_path):
    for row in told(guess(read_table(grown(tmp_path)))):
        assert row["why"], row


@pytest.mark.parametrize(("header", "row", "missing"), [("a,b", "{i},{j}", "metric"), ("latency", "{x}", "parameter")])
def test_what_lacks_parameters_or_metrics_is_said(tmp_path, header, row, missing):
    path = runs(tmp_path, header, *(row.format(i=i % 3, j=i % 2, x=i * 1.37) for i in range(30)))
    with pytest.raises(ArmillaryError, match=f"{path}: no column looks like a {missing}"):
        guess(read_table(path))
