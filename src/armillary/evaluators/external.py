"""Other people's simulators: any command line program behind the evaluator protocol.

A YAML file describes the program. It is started once per design, reads one JSON document on its
standard input, `{"design": {...}, "workload": {"name": ..., "layers": [...]}, "seed": ...}`, and answers
with one on its standard output, `{"metrics": {"runtime_s": ...}}`, or `{"feasible": false, "failure":
{"resource": ..., "layer": ..., "needed": ..., "available": ..., "detail": ...}, "metrics": {}}` for a design
that cannot work. An answer is taken only if every field has its type. An exit status, an answer that is none, and a
time limit are evaluations with a failure; a program that a signal ended gave no answer at all. Of our environment it
sees what `armillary.tools.command.INHERITED` lists.
"""

from __future__ import annotations

import json
import math
import reprlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from armillary.evaluators.kind import EvaluatorKind, Options
from armillary.evaluators.recording import record, without_mappings
from armillary.metrics import METRICS
from armillary.problems.problem_file import ProblemFile, no_evaluator
from armillary.tools.command import Command
from armillary.tools.process import run, shell_accident
from armillary.types import ArmillaryError, Candidate, Cost, Design, Evaluation, EvaluatorSpec, Failure, Fidelity
from armillary.workloads.layer import Layer, Workload
from armillary.yaml_file import read_yaml

_LAST_WORDS = 400
_MOST_FAULTS = 10  # that are named of one answer
_MOST_DETAIL = 2000  # letters of a failure's detail that are kept
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class _WhyNot(BaseModel):
    """Why a design cannot work, as a program tells it."""

    model_config = _STRICT

    resource: Annotated[str, Field(max_length=_LAST_WORDS)] = ""
    layer: Annotated[str, Field(max_length=_LAST_WORDS)] = ""
    needed: float = math.nan
    available: float = math.nan
    detail: str = ""


class _Answer(BaseModel):
    """What a program answers; `feasible` may be left out of an answer with metrics."""

    model_config = _STRICT

    metrics: dict[str, float] = {}
    feasible: bool = True
    failure: _WhyNot | None = None


class Program(BaseModel):
    """A program that evaluates designs.

    Attributes:
        name: of the evaluator in the log.
        version: likewise; results of different versions are never mixed.
        command: the program and its arguments; it is looked up on the PATH.
        time_limit_s: after which it and what it started are killed.
        environment: variables that it gets beside the few that it inherits.
        install: how to install it, told if it is missing.
        metrics: units of those metrics that only this program knows, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    time_limit_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    environment: dict[str, str] = {}
    install: str = ""
    metrics: dict[str, str] = {}

    @staticmethod
    def load(path: Path) -> Program:
        """Read the description of a program.

        Raises:
            ArmillaryError: names the file, and every wrong field.
        """
        content = read_yaml(path)
        if not isinstance(content, Mapping):
            raise ArmillaryError(f"{path}: describes no program; it needs name, version and command")
        try:
            return Program.model_validate(dict(content))
        except ValidationError as fault:
            raise ArmillaryError(f"{path}: {_told(fault)}") from None


class ExternalOptions(Options):
    """Which program."""

    program: str = Field(description="YAML file that describes the program.")


class ExternalEvaluator:
    """A program as an evaluator.

    Args:
        program: what to start.
        spec: of the evaluator, whose seed is handed to the program.

    Raises:
        ArmillaryError: if the program is not installed; says how to install it.
    """

    _folder: Path | None = None
    """Where the program runs; None: where we run."""

    def __init__(self, program: Program, spec: EvaluatorSpec) -> None:
        if shutil.which(program.command[0]) is None:
            how = f"; {program.install}" if program.install else ""
            raise ArmillaryError(f"{program.name}: {program.command[0]!r} is not installed{how}")
        self.spec, self._program = spec, program
        self._known = {*METRICS, *program.metrics}

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Start the program once per candidate; that it fails is an answer.

        Raises:
            ArmillaryError: if a candidate brings mappings, which the program could not be told.
            AccidentError: if a signal ended the program; says where the run is kept.
        """
        without_mappings(candidates, self.spec)
        layers = [{**_described(use.layer), "count": use.count} for use in workload.layers]
        return [self._one(candidate, workload, layers) for candidate in candidates]

    def _design(self, design: Design) -> Mapping[str, Any]:
        """Return a design as the program is told it."""
        return design.as_dict()

    def _one(self, candidate: Candidate, workload: Workload, layers: list[dict[str, Any]]) -> Evaluation:
        request = {
            "design": self._design(candidate.design),
            "workload": {"name": workload.name, "layers": layers, "numbers": dict(workload.numbers or {})},
            "seed": self.spec.seed,
        }
        start = time.perf_counter()
        metrics, failure = self._run(json.dumps(request))
        return record(self.spec, candidate, workload, metrics, failure, seconds=time.perf_counter() - start)

    def _run(self, request: str) -> tuple[dict[str, float], Failure | None]:
        """Return metrics and failure of one run.

        The failure does not say where the run is kept: failures with the same text are counted as one.
        """
        program = self._program
        command = Command(
            program.command,
            stdin=request,
            environment=program.environment,
            time_limit_s=program.time_limit_s,
            folder=self._folder,
            foreign=True,
        )
        ended = run(command, keep_failed=True, accident_of=shell_accident)
        if ended.hit_time_limit:
            return {}, Failure("timeout", detail=f"no answer within {program.time_limit_s:g} s")
        if not ended.ok:
            return {}, Failure("error", detail=ended.failure)
        out = ended.text
        try:
            return self._answer(json.loads(out, object_pairs_hook=_without_repetition))
        except RecursionError:
            why = "it is nested too deeply"
        except ValidationError as fault:
            why = _told(fault)
        except ValueError as fault:
            why = str(fault)
        return {}, Failure("error", detail=f"its answer is no result ({why}): {out.strip()[:_LAST_WORDS]!r}")

    def _answer(self, answer: Any) -> tuple[dict[str, float], Failure | None]:
        """Return metrics and failure of an answer.

        Raises:
            ValueError: if the answer is not of the form that the module describes; pydantic's where a field is not.
        """
        if not isinstance(answer, dict):
            raise ValueError("not a JSON object")
        given = _Answer.model_validate(answer)
        unknown = sorted(set(given.metrics) - set(self._known))
        if unknown:
            raise ValueError(f"metric {unknown[0]!r} is unknown; known are {sorted(self._known)}")
        self._check(given.metrics)
        if not given.feasible:
            return given.metrics, _infeasible(given.failure or _WhyNot())
        if given.failure is not None:
            raise ValueError('it holds a failure, but no "feasible": false')
        if not given.metrics:
            raise ValueError("feasible, but without metrics")
        return given.metrics, None

    def _check(self, metrics: Mapping[str, float]) -> None:
        """Raise ValueError if a metric cannot be."""
        strange = sorted(name for name, value in metrics.items() if not math.isfinite(value) or value < 0)
        if strange:
            raise ValueError(f"metric {strange[0]}={metrics[strange[0]]!r} is no positive number")


class OwnEvaluator(ExternalEvaluator):
    """The simulator of a user's own problem.

    Beside answers of the form above it may print a row as the user's files hold it, `{"latency": 1.2, "status": "OK"}`;
    the problem file then says what that means. It runs in the folder of that file.

    Args:
        file: the problem, which names the simulator.
        spec: of the evaluator.

    Raises:
        ArmillaryError: if the file names no simulator, or it is not installed; says how to install it.
    """

    def __init__(self, file: ProblemFile, spec: EvaluatorSpec) -> None:
        super().__init__(_program_of(file), spec)
        self._file, self._folder = file, file.path.resolve().parent

    def _design(self, design: Design) -> Mapping[str, Any]:
        return {name: self._file.value(name, value) for name, value in design.items}

    def _answer(self, answer: Any) -> tuple[dict[str, float], Failure | None]:
        if not isinstance(answer, dict) or "metrics" in answer or answer.get("failure"):
            return super()._answer(answer)
        try:
            metrics, reason = self._file.outcome(answer)
        except ArmillaryError as fault:
            raise ValueError(str(fault)) from fault
        self._check(metrics)
        return metrics, None if reason is None else Failure("infeasible", detail=reason[:_MOST_DETAIL])

    def _check(self, metrics: Mapping[str, float]) -> None:
        known = self._file.metrics
        strange = [n for n, v in metrics.items() if not math.isfinite(v) or (known[n].positive and v <= 0)]
        if strange:
            allowed = "a positive" if known[strange[0]].positive else "a finite"
            raise ValueError(f"metric {strange[0]}={metrics[strange[0]]!r} is no {allowed} number")


def _program_of(file: ProblemFile) -> Program:
    form = file.form.evaluator
    if form is None:
        raise no_evaluator(file.path)
    program = form.command[0]
    path = file.beside(program).resolve()
    return Program(
        name=file.name,
        version=form.version,
        command=(str(path) if "/" in program and path.exists() else program, *form.command[1:]),
        time_limit_s=form.time_limit_s,
        environment=form.environment,
        install=form.install,
        metrics={name: file.metrics[name].unit for name in file.own_metrics},
    )


def _told(fault: ValidationError) -> str:
    """Return every wrong field with what it holds, shortened."""
    fields = (
        f"{'.'.join(map(str, error['loc']))}: {error['msg']}, got {reprlib.repr(error['input'])}"
        for error in fault.errors()[:_MOST_FAULTS]
    )
    more = fault.error_count() - _MOST_FAULTS
    return "; ".join(fields) + (f"; and {more} more" if more > 0 else "")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: if a name stands twice in it, so that readers would differ about what it says.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:_LAST_WORDS]!r} stands twice in one object")
    return found


def _infeasible(why: _WhyNot) -> Failure:
    return Failure("infeasible", why.resource, why.layer, why.needed, why.available, why.detail[:_MOST_DETAIL])


def _described(layer: Layer) -> dict[str, Any]:
    """Return a layer as the program is told it; without widths of its own it has no `bits`."""
    return {name: value for name, value in asdict(layer).items() if name != "bits" or value is not None}


def spec_of(path: Path, template: str, *, seed: int = 0) -> EvaluatorSpec:
    """Return the specification of the program that a file describes, as an evaluator of a template's designs.

    Raises:
        ArmillaryError: names the file, and every wrong field.
    """
    program = Program.load(path)
    return EvaluatorSpec(
        template=template,
        fidelity=Fidelity.EXTERNAL,
        name=program.name,
        version=program.version,
        options={"program": str(path)},
        cost=Cost.MINUTES,
        seed=seed,
    )


KIND = EvaluatorKind(
    template="",
    fidelity=Fidelity.EXTERNAL,
    name="external",
    version="1",
    cost=Cost.MINUTES,
    make=lambda spec, options: ExternalEvaluator(Program.load(Path(options.program)), spec),
    options=ExternalOptions,
)
"""Somebody else's program; its name and version are the program's, see `spec_of`."""
