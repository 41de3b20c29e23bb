"""Other people's simulators: any command line program behind the evaluator protocol.

A YAML file describes the program. It is started once per design, reads one JSON document on its
standard input, `{"design": {...}, "workload": {"name": ..., "layers": [...]}, "seed": ...}`, and answers
with one on its standard output, `{"metrics": {"runtime_s": ...}}`, or `{"feasible": false, "failure":
{"resource": ..., "layer": ..., "needed": ..., "available": ..., "detail": ...}, "metrics": {}}` for a design
that cannot work. An exit status, an answer that is none, and a time limit are evaluations with a failure; a program
that a signal ended gave no answer at all. Of our environment it sees what `armillary.tools.command.INHERITED` lists.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from armillary.tools.command import Command
from armillary.tools.process import run, shell_accident
from armillary.types import METRICS, ArmillaryError, Design, Evaluation, Failure, Fidelity
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload
from armillary.yaml_file import read_yaml

_LAST_WORDS = 400
_FAILURE_FIELDS = ("resource", "layer", "needed", "available", "detail")


class Program(BaseModel):
    """A program that evaluates designs.

    Attributes:
        name: of the evaluator in the log.
        version: likewise; results of different versions are never mixed.
        command: the program and its arguments; it is looked up on the PATH.
        time_limit_s: after which it and what it started are killed.
        environment: variables that it gets beside the few that it inherits.
        install: how to install it, told if it is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    time_limit_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    environment: dict[str, str] = {}
    install: str = ""

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
            faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in fault.errors())
            raise ArmillaryError(f"{path}: " + "; ".join(faults)) from None


class ExternalEvaluator:
    """A program as an evaluator.

    Args:
        program: what to start.
        seed: handed to the program and recorded.

    Raises:
        ArmillaryError: if the program is not installed; says how to install it.
    """

    fidelity = Fidelity.EXTERNAL

    def __init__(self, *, program: Program, seed: int = 0) -> None:
        if shutil.which(program.command[0]) is None:
            how = f"; {program.install}" if program.install else ""
            raise ArmillaryError(f"{program.name}: {program.command[0]!r} is not installed{how}")
        self.name, self.version = program.name, program.version
        self._program, self._seed = program, seed

    def evaluate(self, designs: Sequence[Design], workload: Workload) -> list[Evaluation]:
        """Start the program once per design; that it fails is an answer.

        Raises:
            AccidentError: if a signal ended the program; says where the run is kept.
        """
        layers = [{**asdict(use.layer), "count": use.count} for use in workload.layers]
        return [self._one(design, workload, layers) for design in designs]

    def _one(self, design: Design, workload: Workload, layers: list[dict[str, Any]]) -> Evaluation:
        request = {
            "design": design.as_dict(),
            "workload": {"name": workload.name, "layers": layers},
            "seed": self._seed,
        }
        start = time.perf_counter()
        metrics, failure = self._run(json.dumps(request))
        return Evaluation(
            design=design,
            workload=workload.name,
            context=context_of(workload).as_dict(),
            evaluator=self.name,
            version=self.version,
            fidelity=self.fidelity,
            metrics=metrics,
            feasible=failure is None,
            failure=failure,
            seconds=time.perf_counter() - start,
            seed=self._seed,
            time=datetime.now(UTC).replace(tzinfo=None),
        )

    def _run(self, request: str) -> tuple[dict[str, float], Failure | None]:
        """Return metrics and failure of one run.

        The failure does not say where the run is kept: failures with the same text are counted as one.
        """
        program = self._program
        command = Command(
            program.command, stdin=request, environment=program.environment, time_limit_s=program.time_limit_s
        )
        ended = run(command, keep_failed=True, accident_of=shell_accident)
        if ended.hit_time_limit:
            return {}, Failure("timeout", detail=f"no answer within {program.time_limit_s:g} s")
        if not ended.ok:
            return {}, Failure("error", detail=ended.failure)
        out = ended.text
        try:
            return _read(json.loads(out))
        except (ValueError, TypeError, KeyError) as fault:
            return {}, Failure("error", detail=f"its answer is no result ({fault}): {out.strip()[:_LAST_WORDS]!r}")


def _read(answer: Any) -> tuple[dict[str, float], Failure | None]:
    """Return metrics and failure of an answer.

    Raises:
        ValueError: if the answer is not of the form that the module describes.
    """
    if not isinstance(answer, Mapping):
        raise ValueError("not a JSON object")
    metrics = {str(name): float(value) for name, value in answer.get("metrics", {}).items()}
    unknown = sorted(set(metrics) - set(METRICS))
    if unknown:
        raise ValueError(f"metric {unknown[0]!r} is unknown; known are {sorted(METRICS)}")
    strange = sorted(name for name, value in metrics.items() if not math.isfinite(value) or value < 0)
    if strange:
        raise ValueError(f"metric {strange[0]}={metrics[strange[0]]!r} is no positive number")
    if answer.get("feasible", True):
        if not metrics:
            raise ValueError("feasible, but without metrics")
        return metrics, None
    given = answer.get("failure", {})
    if not isinstance(given, Mapping) or set(given) - set(_FAILURE_FIELDS):
        raise ValueError(f"failure holds other fields than {list(_FAILURE_FIELDS)}")
    return metrics, Failure("infeasible", **given)
