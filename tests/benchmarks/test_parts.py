import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import armillary
from armillary import surrogates
from armillary.benchmarks import parts
from armillary.benchmarks.parts import Part, measured_each, modules
from armillary.benchmarks.prime.runs import Runs
from armillary.benchmarks.prime.scenarios import ENC, V2, Task
from armillary.benchmarks.result import BenchOptions
from armillary.evaluators import spec_of
from armillary.types import Fidelity

PART = Part(Path("kept"), "a", {"seed": 3}, ("armillary.benchmarks.prime.figures",))
MAPPED = spec_of("spotlight", Fidelity.ANALYTICAL, {"goal": "delay"})


def forget():
    parts._module.cache_clear()
    parts.code_digest.cache_clear()


@pytest.fixture
def edit(monkeypatch):
    """Return what makes a module read as if somebody had changed a line of it."""
    plain = parts.read

    def edited(module):
        file = Path(armillary.__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
        assert file.exists()
        forget()
        monkeypatch.setattr(parts, "read", lambda path: plain(path) + ("x = 1\n" if path == file else ""))

    yield edited
    forget()


@pytest.fixture
def runs(tmp_path):
    return Runs(BenchOptions(None, True, 0, tmp_path / "table", lambda *_: None), scale=20, seeds=(0,))


@pytest.mark.parametrize(
    "module", ["benchmarks.prime.figures", "benchmarks.prime.runs", "spaces.samplers", "log.schema", "types"]
)
def test_other_code_that_is_imported_is_another_part(module, edit):
    before = PART.path
    edit(module)
    assert PART.path != before


@pytest.mark.parametrize("module", ["reports.theme", "benchmarks.figures", "console", "cli.benchmarks"])
def test_other_code_that_only_shows_is_the_same_part(module, edit):
    before = PART.path
    edit(module)
    assert PART.path == before
    assert not {f"armillary.{module}"} & set(modules(frozenset(PART.sources)))


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": {"seed": 4}},
        {"inputs": {"seed": 3, "device": "cuda"}},
        {"sources": ("armillary.benchmarks.prime.runs",)},
        {"evaluator": MAPPED},
    ],
)
def test_other_inputs_are_another_part(other):
    assert replace(PART, **other).path != PART.path
    assert replace(PART).path == PART.path


@pytest.mark.parametrize("other", [{"version": "0"}, {"name": "other"}, {"options": {**MAPPED.options, "goal": "edp"}}])
def test_another_evaluator_is_another_part(other):
    one, two = (replace(PART, evaluator=spec) for spec in (MAPPED, replace(MAPPED, **other)))
    assert one.path != two.path


def test_the_code_of_an_evaluator_counts(edit):
    part = replace(PART, sources=("armillary.benchmarks.result",), evaluator=MAPPED)
    before = part.path
    edit("mapping.spotlight.search")
    assert part.path != before


def test_a_part_is_measured_once_and_its_file_says_of_what(tmp_path):
    part = replace(PART, folder=tmp_path / "new", evaluator=MAPPED)
    assert part.measured(lambda: {"x": 1.5}) == {"x": 1.5}
    assert part.measured(lambda: 1 / 0) == {"x": 1.5}
    (file,) = part.folder.iterdir()
    told = {"name": "spotlight", "version": MAPPED.version, "options": MAPPED.options}
    assert json.loads(file.read_text()) == {"inputs": {"seed": 3, "evaluator": told}, "part": {"x": 1.5}}
    assert replace(part, inputs={"seed": 4}).measured(lambda: {"x": 2.5}) == {"x": 2.5}


def test_imports_are_followed_as_they_run(tmp_path, monkeypatch):
    """Those within functions and relative ones count; those for type checkers and of libraries do not."""
    package = tmp_path / "stranger"
    (package / "inner").mkdir(parents=True)
    texts = {
        "__init__.py": "from stranger import unused\n",
        "inner/__init__.py": "from .deep import thing\n",
        "inner/deep.py": "from .. import beside\n",
        "a.py": "import numpy, stranger.inner\nfrom armillary import registry\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stranger.typed\n"
        "def f():\n    import stranger.lazy\n",
        **dict.fromkeys(("unused.py", "beside.py", "typed.py", "lazy.py"), ""),
    }
    for name, text in texts.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = modules(frozenset({"stranger.a"}))
    own = [name for name in found if name.startswith("stranger")]
    assert own == [f"stranger.{name}" for name in ("a", "beside", "inner", "inner.deep", "lazy")]
    assert set(found) - set(own) == {"armillary.registry", "armillary.types"}


def test_a_registered_method_and_a_network_count_where_they_are_used(runs, edit):
    tasks = [Task((name,), (name,), 29.0) for name in (V2, ENC)]
    jobs = [(method, task) for method in ("hurdle", "coms", "p3bo") for task in tasks]

    def paths():
        return {job: runs.part(*job, 0, {}).path for job in jobs}

    before = paths()
    assert len(set(before.values())) == len(jobs)

    def changed(module):
        edit(module)
        return {job for job, path in paths().items() if path != before[job]}

    assert changed("surrogates.coms") == {("coms", task) for task in tasks}
    assert changed("optimizers.p3bo") == {("p3bo", task) for task in tasks}
    assert changed("workloads.zoo.sequences") == {job for job in jobs if job[1] is tasks[1]}
    assert changed("evaluators.edge_tpu.compiler") == set(jobs)


@pytest.mark.parametrize("method", ["prime", "hurdle", "coms"])
def test_what_ran_on_a_gpu_is_kept_apart(method, runs):
    task, there = Task((V2,), (V2,), 29.0), replace(runs, options=replace(runs.options, device="cuda"))
    assert method in surrogates.names()
    assert runs.part(method, task, 0, {}).path != there.part(method, task, 0, {}).path
    assert runs.model(method, (V2,), 29.0, 0, {}).path != there.model(method, (V2,), 29.0, 0, {}).path
    assert runs.part("random", task, 0, {}).path == there.part("random", task, 0, {}).path


def test_runs_that_differ_are_kept_apart(runs):
    task = Task((V2,), (V2,), 29.0)
    path = runs.part("prime", task, 0, {}).path
    others = [
        runs.part("prime", task, 1, {}),
        runs.part("prime", task, 0, {"top": 100}),
        runs.part("prime", replace(task, area_mm2=18.0), 0, {}),
        runs.part("prime", replace(task, train=(ENC,)), 0, {}),
        replace(runs, schedule="quick").part("prime", task, 0, {}),
        replace(runs, scale=1).part("prime", task, 0, {}),
    ]
    assert len({path, *(other.path for other in others)}) == 1 + len(others)


def _measured(folder, number):
    (folder / f"run {number}").open("x").close()  # fails if it is measured again
    return {"square": number**2}


def test_parts_are_measured_once_and_returned_by_their_keys(tmp_path):
    work = {
        number: (replace(PART, folder=tmp_path, inputs={"number": number}), partial(_measured, tmp_path, number))
        for number in (2, 3)
    }
    told = []
    first = {2: work[2]}
    assert measured_each(first, lambda *_: None) == {2: {"square": 4}}
    assert measured_each(work, lambda done, total: told.append((done, total))) == {2: {"square": 4}, 3: {"square": 9}}
    assert told == [(1, 2), (2, 2)]
