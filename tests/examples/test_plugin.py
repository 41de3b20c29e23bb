"""A stranger's package, installed beside ours and used through the command line alone."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import armillary

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
OURS = Path(armillary.__file__).parents[1]
# The commands share a process, as each would load the same libraries again; each is a run of `main` all the same.
DRIVER = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from armillary.cli import main
found = []
for arguments, environment in json.load(sys.stdin):
    sys.argv, out, err = ["armillary", *arguments], io.StringIO(), io.StringIO()
    os.environ |= environment
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            found.append((stop.code, out.getvalue(), err.getvalue()))
    for name in environment:
        del os.environ[name]
json.dump(found, sys.stdout)
"""

RING = "--template ring --workload mobilenet_v2"
RIDGE = "--surrogate one-hot-ridge --bound leakage_mw=200"
COLLECT = f"collect {RING} --samples 500 --log log"
DESIGN = f"design mobilenet_v2 --template ring {RIDGE} --log log --samples 500 --top 24 --out study"
KINDS = "SELECT failure_kind, count(*) AS n FROM log GROUP BY ALL"
BROKEN = "SELECT DISTINCT failure_detail, stations, link_bytes FROM log WHERE failure_kind = 'error'"
SMALL = "SELECT failure, failure_resource FROM log WHERE failure_kind = 'infeasible' LIMIT 1"
KILLED = "SELECT feasible OR failure_kind = 'infeasible' AS known FROM log WHERE stations = 24 AND link_bytes = 32"
BEST = "SELECT min(runtime_s) AS least FROM log WHERE leakage_mw <= 200 AND wire_mm <= 4000"
REPAIRED = {"RING_REPAIRED": "1"}

# What is asked, in this order: --json is added where the answer is not to be read by people.
COMMANDS = {
    "templates": "templates",
    "ring": "templates show ring",
    "surrogates": "surrogates",
    "optimizers": "optimizers",
    "wrong option": f"{COLLECT} --set clock_mhz=9999",
    "collected": COLLECT,
    "kinds": ("log query --log log", KINDS),
    "again": COLLECT,
    "kinds again": ("log query --log log", KINDS),
    "broken": ("log query --log log", BROKEN),
    "small": ("log query --log log", SMALL),
    "killed": ("log query --log log", KILLED),
    "fit": f"fit --template ring --log log {RIDGE} --out model.pt",
    "propose": f"propose {RING} --model model.pt --top 6",
    "a bound that nothing keeps": f"fit --template ring --log log {RIDGE} --bound wire_mm=30 --out small.pt",
    "search": f"search {RING} --optimizer climb --budget 120 --bound leakage_mw=200 --study search",
    "best of the search": ("log query --log search/log", BEST),
    "design": DESIGN,
    "design as a table": DESIGN,
    "report": "report study",
    "repaired": COLLECT,
    "repaired again": COLLECT,
}
REFUSED = {"wrong option", "a bound that nothing keeps"}
PLAIN = {"wrong option", "a bound that nothing keeps", "design as a table"}


class Place:
    """A folder to work in, with the package installed beside ours."""

    def __init__(self, folder):
        self.folder, self.source, self.tries = folder, folder / "plugin", folder / "tries"
        shutil.copytree(PLUGIN, self.source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        self.tries.mkdir()
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
        self.ended(self.python(*pip, "--no-build-isolation", "--target", folder / "site", self.source))

    def python(self, *arguments):
        """Return an interpreter that sees both packages, as it runs."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (self.folder / "site", OURS)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def ended(process, text=None):
        """Return what a process prints, once it ended."""
        out, err = process.communicate(text)
        assert process.returncode == 0, out + err
        return out

    def asked(self):
        """Return status, output and messages of every command."""
        commands = []
        for name, text in COMMANDS.items():
            words, *more = (text,) if isinstance(text, str) else text
            arguments = [*words.split(), *more, *([] if name in PLAIN else ["--json"])]
            commands.append((arguments, REPAIRED if "repaired" in name else {"RING_TRIES": str(self.tries)}))
        found = json.loads(self.ended(self.python("-W", "error", "-c", DRIVER), json.dumps(commands)))
        return dict(zip(COMMANDS, found, strict=True))

    def own_tests(self):
        """Return the run of the package's own tests."""
        return self.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", self.source / "tests")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def own_tests(place):
    """The run of the package's own tests, which goes on beside the commands."""
    with place.own_tests() as run:
        yield run


@pytest.fixture(scope="module")
def asked(place, own_tests):
    return place.asked()


@pytest.fixture(scope="module")
def answers(asked):
    """What every command answered with --json."""
    failed = {name: found for name, found in asked.items() if found[0] != 0 and name not in REFUSED}
    assert not failed
    return {name: json.loads(out) for name, (_, out, _) in asked.items() if name not in PLAIN}


def text_of(page):
    """Return the words of a report."""
    body = re.sub(r"<script.*?</script>|<style.*?</style>", "", page.read_text(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_templates_surrogates_and_optimizers_are_listed(answers):
    ring = next(row for row in answers["templates"] if row["name"] == "ring")
    assert (ring["parameters"], ring["designs"], ring["fidelities"]) == (5, 5040, ["analytical"])
    shown = answers["ring"]
    assert (shown["laws"], shown["budgets"], shown["baseline"]) == (["wire_mm"], {"wire_mm": 4000.0}, None)
    option = shown["evaluators"][0]["options"][0]
    assert (option["option"], option["default"], option["type"]) == ("clock_mhz", "800", "integer")
    assert {"name": "one-hot-ridge", "from": "ring_accelerator.ridge:KIND"} in answers["surrogates"]
    assert {"name": "climb", "from": "ring_accelerator.climb:Climb"} in answers["optimizers"]


def test_its_options_are_typed(asked):
    status, _, message = asked["wrong option"]
    assert status == 2
    assert "evaluator ring: option clock_mhz='9999' is not allowed" in message


def test_designs_whose_evaluation_breaks_are_failed_rows_that_are_evaluated_again(answers):
    before, after = ({row["failure_kind"]: row["n"] for row in answers[name]} for name in ("kinds", "kinds again"))
    (first,), (second,) = answers["collected"], answers["again"]
    assert first["evaluated"] == sum(before.values()) > 400
    assert first["feasible"] == before[""] > 100
    assert before["infeasible"] > 100
    assert second["evaluated"] == before["error"] > 10
    assert second["feasible"] == 0
    assert after == {**before, "error": 2 * before["error"]}
    assert {row["failure_detail"] for row in answers["broken"]} == {
        f"RuntimeError: router: credit counter of {stations} stations overflows" for stations in (12, 24, 48)
    }
    assert all(f" {row['stations']} " in row["failure_detail"] and row["link_bytes"] == 64 for row in answers["broken"])


def test_infeasible_designs_say_what_lacks(answers):
    (row,) = answers["small"]
    assert row["failure_resource"] == "buffer_bytes"
    assert re.fullmatch(r"layer \w+: buffer_bytes needs [\d,]+, has [\d,]+", row["failure"])


def test_a_tool_that_the_machine_killed_is_asked_again_at_once(place, answers):
    tries = [file.read_text() for file in place.tries.iterdir()]
    assert len(tries) >= len(answers["killed"]) > 3
    assert all(row["known"] for row in answers["killed"])
    assert min(tries, key=len) == "xx"  # the first was killed


def test_a_repaired_tool_settles_what_it_broke_on(answers):
    (repaired,), (again,) = answers["repaired"], answers["repaired again"]
    assert repaired["evaluated"] == answers["again"][0]["evaluated"]
    assert repaired["feasible"] > 0
    assert again["evaluated"] == 0


def test_learns_and_proposes_with_its_surrogate(answers):
    fit = answers["fit"]
    assert (fit["surrogate"], fit["members"]) == ("one-hot-ridge", 16)
    settled = sum(row["n"] for row in answers["kinds"] if row["failure_kind"] != "error")
    assert fit["settled_rows"] == settled < fit["rows"]
    assert len(answers["propose"]) == 6
    for row in answers["propose"]:
        assert row["wire_mm"] == 4.0 * row["stations"] * row["link_bytes"] <= 4000.0
        assert row["p_feasible"] > 0.3


def test_a_bound_that_its_law_shows_cannot_be_kept_is_refused(asked):
    status, _, message = asked["a bound that nothing keeps"]
    assert status == 2
    assert "wire_mm=30 cannot be met: the least of any design of ring is 32 mm" in message


def test_searches_with_its_optimizer(answers):
    found = answers["search"]
    assert found["evaluated"] == 120
    assert found["metrics"]["leakage_mw"] <= 200.0
    assert found["metrics"]["wire_mm"] <= 4000.0
    assert answers["best of the search"] == [{"least": found["metrics"]["runtime_s"]}]


def test_designs_under_a_bound_on_its_own_metric(place, answers, asked):
    found = answers["design"]
    assert found["metrics"].keys() == {"runtime_s", "energy_pj", "leakage_mw", "wire_mm"}
    assert found["metrics"]["leakage_mw"] <= 200.0
    assert found["metrics"]["wire_mm"] <= 4000.0
    assert found["metrics"]["runtime_s"] <= found["best_of_log"]["runtime_s"]
    assert found["baseline"] is None
    results = json.loads((place.folder / "study" / "results.json").read_text())
    assert results["versions"]["ring-accelerator"] == "0.1.0"
    head, winner = asked["design as a table"][1].splitlines()[:2]
    assert head.split() == ["Runtime", "Energy", "Wire", "Leakage", "design"]
    assert f"{found['metrics']['leakage_mw']:.3g} mW" in winner
    assert f" {found['metrics']['wire_mm']:,.0f} mm " in winner


def test_the_report_knows_its_metrics_units_and_failures(place, answers):
    text = text_of(place.folder / answers["report"]["report"])
    leakage_mw = answers["design"]["metrics"]["leakage_mw"]
    assert "leakage at most 200 mW" in text
    assert f"Leakage of the winner {leakage_mw:.3g} mW of 200 mW allowed" in text
    assert "wire at most 4,000 mm" in text
    assert "evaluations broke, which tells nothing of the designs; most often: error: RuntimeError: router" in text
    assert "No published design of this template is there to compare with." in text
    assert "ring 1 (analytical)" in text
    assert "area" not in text.lower()


def test_its_own_tests_pass_with_our_contracts(place, own_tests):
    assert int(re.search(r"(\d+) passed", place.ended(own_tests))[1]) >= 30


def test_nothing_of_ours_names_it():
    words = ("ring_accelerator", "RingAccelerator", "one-hot-ridge")
    naming = [path for path in (OURS / "armillary").rglob("*.py") if any(w in path.read_text() for w in words)]
    assert not naming
