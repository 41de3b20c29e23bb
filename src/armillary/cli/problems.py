"""Commands on problem files."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from armillary.cli.shared import Json, Seed, StudyName, app, is_address
from armillary.console import print_result, print_table, tell
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.log.sheet import Sheet
    from armillary.studies.guessing import Guess

problem_app = typer.Typer(help="Your own parameters, metrics and simulator, in one file.", no_args_is_help=True)
app.add_typer(problem_app, name="problem")


@problem_app.command("init")
def problem_init(
    runs: Annotated[
        str,
        typer.Argument(help="A CSV or Parquet file of runs, or the address of an Optuna storage: sqlite:///runs.db."),
    ],
    out: Annotated[Path, typer.Option(help="The problem file to write.")] = Path("problem.yaml"),
    name: Annotated[str | None, typer.Option(help="Of the problem; default: the file's or the study's.")] = None,
    study_name: StudyName = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Guess a problem file from runs, and say what was guessed and why."""
    from armillary.atomic_file import replaced
    from armillary.problems.problem_file import read_problem
    from armillary.studies.guessing import problem_text, told

    if out.exists():
        raise ArmillaryError(f"{out}: exists already; name another file with --out, or remove it")
    sheet, guesses, found = _seen(runs, study_name)
    text = problem_text(name or found, guesses, runs, sheet)
    with replaced(out) as unfinished:
        unfinished.write_text(text)
    problem = read_problem(out)
    rows = list(told(guesses))
    content = {"problem": str(out), "designs": problem.space.size, "columns": rows}

    def show() -> None:
        print_table(rows)
        tell(
            f"\n{out}: {len(problem.space.parameters)} parameters, {problem.space.size:,} designs, the goal is "
            f"{problem.objectives[0].metric}\nCheck it: the goal, bounds (at_most, at_least) and which designs can "
            f"exist (constraints) are yours to say. Then:\n"
            f"  armillary log import {_again(runs, study_name)} --problem {out} --log {problem.name}.log\n"
            f"  armillary design --problem {out} --log {problem.name}.log"
        )

    print_result(content, as_json, show)


def _seen(runs: str, study_name: str | None) -> tuple[Sheet, tuple[Guess, ...], str]:
    """Return the cells of runs, what their columns were taken for, and the name of the file or study."""
    from armillary.log.sheet import read_table
    from armillary.studies.guessing import guess

    if not is_address(runs):
        if study_name is not None:
            raise ArmillaryError(f"--study-name {study_name!r} goes with a storage of Optuna; {runs} is a file")
        sheet = read_table(Path(runs))
        return sheet, guess(sheet), Path(runs).stem
    from armillary.integrations.optuna.imports import guesses_of, read_study

    table = read_study(runs, study_name)
    return table.sheet, guesses_of(table), re.sub(r"[^\w.-]+", "-", table.name)  # files are named after it


def _again(runs: str, study_name: str | None) -> str:
    if not is_address(runs):
        return runs
    return f"--optuna {runs}" + ("" if study_name is None else f" --study-name {shlex.quote(study_name)}")


@problem_app.command("show")
def problem_show(
    path: Annotated[Path, typer.Argument(help="A problem file.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Check a problem file and show what it says."""
    from armillary.studies.own import OwnProblem

    own = OwnProblem.read(path)
    file = own.file
    rows = [{"parameter": p.name, "kind": p.kind, "values": len(p.values), "first": str(p.values[0]),
             "last": str(p.values[-1])} for p in file.space.parameters]  # fmt: skip
    content = {
        "name": file.name,
        "designs": file.space.size,
        "candidates": None if own.candidates is None else len(own.candidates),
        "parameters": rows,
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in file.objectives],
        "bounds": [str(bound) for bound in file.bounds],
        "workloads": own.workload_names(),
        "evaluator": own.has_evaluator,
    }

    def show() -> None:
        listed = "" if own.candidates is None else f", of which {len(own.candidates):,} exist"
        tell(f"{file.name}: {file.space.size:,} designs{listed}\n")
        print_table(rows)
        tell("\ngoal       " + ", ".join(f"{o.direction} {o.metric}" for o in file.objectives))
        for bound in file.bounds:
            tell(f"bound      {bound}")
        for rule in file.form.constraints:
            tell(f"rule       {rule}")
        tell(f"workloads  {', '.join(own.workload_names())}\nevaluator  {'yes' if own.has_evaluator else 'none'}")

    print_result(content, as_json, show)


@problem_app.command("schema")
def problem_schema(
    as_json: Json = False,  # noqa: ARG001
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Print the JSON Schema of problem files, for editors."""
    from armillary.problems.problem_form import schema

    tell(json.dumps(schema(), indent=2))
