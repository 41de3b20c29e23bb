import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from armillary.benchmarks import BENCHES
from armillary.benchmarks.record import Record
from armillary.benchmarks.result import Check

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def recorded():
    sys.path.insert(0, str(DOCS))
    try:
        import recorded
    finally:
        sys.path.remove(str(DOCS))
    return recorded


RECORD = Record(
    bench="speed",
    command="armillary bench speed --quick",
    size="quick",
    seed=0,
    machine="2 cores",
    seconds=30.0,
    cpu_seconds=150.0,
    release="1",
    evaluators={"edge_tpu.analytical": "never"},
    rows=[
        {"method": method, "model": model, "goal": goal, "ratio": ratio, "count": 1234, "large": 16660.6}
        for method, model, goal, ratio in [
            ("a", "x", "edp", 1.0), ("a", "y", "edp", 4.0), ("b", "x", "edp", 2.0), ("b", "y", "edp", 8.0),
            ("a", "x", "delay", 9.0),
        ]
    ],
    checks=[
        Check("designs a second of our own", 3.14159, "at least 3", ok=True), Check("log, s", 9, "under 5", ok=False),
    ],
    notes=[],
)  # fmt: skip


@pytest.fixture
def one(recorded, monkeypatch):
    monkeypatch.setattr(recorded, "records", lambda: {RECORD.name: RECORD})
    return recorded


@pytest.mark.parametrize(
    ("citation", "body"),
    [
        ("value speed-quick ratio method=b model=y format=.1f", "8.0"),
        ("value speed-quick count method=b model=y", "1,234"),
        ("value speed-quick ratio method=a goal=edp mean=geometric format=.2f", "2.00"),
        ("value speed-quick check='designs a second' format=.2f", "3.14"),
        ("value speed-quick about=command", "`armillary bench speed --quick`"),
        ("value speed-quick about=cpu_seconds", "2 min"),
        ("value speed-quick about=seconds", "30 s"),
        ("value speed-quick large method=a model=x goal=edp format=.3g", "16,661"),
    ],
)
def test_a_number_comes_from_the_record(one, citation, body):
    page = f"Some words <!-- {citation} -->whatever stood here<!-- end --> go on."
    expected = f"Some words <!-- {citation} -->{body}<!-- end --> go on."
    assert one.cited(page) == expected
    assert one.cited(expected) == expected


def test_a_table_spreads_a_column(one):
    words = "rows speed-quick goal=edp columns=method across=model of=ratio mean=geometric format=.1f"
    written = one.cited(f"<!-- {words} -->\n<!-- end -->")
    assert (
        "| method | x | y | geometric mean |\n|---|---|---|---|\n| a | 1.0 | 4.0 | 2.0 |\n| b | 2.0 | 8.0 | 4.0 |"
        in written
    )


def test_a_table_of_columns_and_one_of_checks(one):
    assert "| method | ratio |\n|---|---|\n| a | 9 |" in one.cited(
        "<!-- rows speed-quick goal=delay columns=method,ratio --><!-- end -->"
    )
    checks = one.cited("<!-- checks speed-quick --><!-- end -->")
    assert "| log, s | under 5 | 9 | **no** |" in checks
    assert "| designs a second of our own | at least 3 | 3.142 | yes |" in checks


def test_columns_have_heads_and_formats_of_their_own(one, monkeypatch):
    rows = [*RECORD.rows[:1], {**RECORD.rows[1], "ratio": None}]
    monkeypatch.setattr(one, "records", lambda: {RECORD.name: replace(RECORD, rows=rows)})
    words = "rows speed-quick columns=model,ratio,count heads='the model,ratio,how many' format=.3g,.0% missing=never"
    assert "| the model | ratio | how many |\n|---|---|---|\n| x | 100% | 123400% |\n| y | never | 123400% |" in (
        one.cited(f"<!-- {words} --><!-- end -->")
    )


@pytest.mark.parametrize(
    ("citation", "message"),
    [
        ("value slow ratio method=b", "'slow' is no record; there are ['speed-quick']"),
        ("value speed-quick ratio method=a", "names 3 values, not one"),
        ("value speed-quick ratio method=c", "names 0 values, not one"),
        ("value speed-quick ratio methods=a", "has no columns ['methods']"),
        ("value speed-quick check=nothing", "names 0 values, not one"),
        ("rows speed-quick columns=model,ratio heads=model", "2 columns ['model', 'ratio'] have 1 heads ['model']"),
    ],
)
def test_a_citation_that_names_not_one_number_is_an_error(one, citation, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        one.cited(f"<!-- {citation} --><!-- end -->")


def test_the_page_names_what_fails_and_what_is_outdated(one):
    page = one.page()
    assert "1 hold and 1 do not" in page
    assert "- `armillary bench speed --quick`: log, s is 9; the goal is under 5." in page
    assert "`edge_tpu.analytical` was of version never" in page
    assert "`firesim`" in page.split("## Without a record")[1]
    assert "`speed`" not in page.split("## Without a record")[1]


def test_the_page_says_so_where_nothing_fails(one, monkeypatch):
    fine = replace(RECORD, checks=RECORD.checks[:1], evaluators={})
    monkeypatch.setattr(one, "records", lambda: {fine.name: fine})
    page = one.page()
    assert "## Checks that fail\n\nNone." in page
    assert "None: every record was made with the evaluators of this release." in page


def test_every_record_is_of_a_command_that_can_be_run(recorded):
    from armillary.cli import app

    command = typer.main.get_command(app).commands["bench"]
    every = recorded.records()
    assert every
    for record in every.values():
        program, verb, name, *options = shlex.split(record.command)
        assert (program, verb, name) == ("armillary", "bench", record.bench)
        assert name in BENCHES.names()
        context = command.make_context(
            "bench", [name, *(o for o in options if o != "../shared/data" and o != "--data")]
        )
        assert context.params["quick"] == record.size.startswith("quick")
        assert context.params["seed"] == record.seed


def test_the_page_holds_every_check_of_every_record(recorded):
    page = (DOCS / "results.md").read_text()
    for record in recorded.records().values():
        assert f"results/{record.name}.json" in page
        for check in record.checks:
            assert f"| {check.name} | {check.goal} |".replace("\\", "") in page


def test_pages_cite_records(recorded):
    citing = [path.name for path in recorded.citing() if recorded.CITATION.search(path.read_text())]
    assert {"README.md", "spotlight.md", "cost_model.md", "llm.md", "edge-tpu-model.md"} <= set(citing)
