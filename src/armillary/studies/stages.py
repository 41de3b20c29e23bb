"""A study is stages: each has named inputs and one named output, which it leaves in the study's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from armillary.execution.local import LocalExecutor
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.problems.problem import Problem
from armillary.studies.progress import OnProgress, silent
from armillary.studies.study_folder import StudyFolder
from armillary.types import EvaluatorSpec
from armillary.workloads.layer import Workload

TIMES = "stages.json"


@dataclass(frozen=True)
class Setting:
    """What all stages of a study share.

    Attributes:
        folder: where they leave their outputs.
        template: of the designs.
        workload: what they are for.
        problem: what is asked of them.
        spec: of the evaluator.
        executor: which evaluates, and keeps what it finds in `log`.
        log: of the study, or one that it was given.
        command: that runs the study again.
        seed: of all that is drawn.
        on_progress: is told how far it is.
    """

    folder: StudyFolder
    template: Template
    workload: Workload
    problem: Problem
    spec: EvaluatorSpec
    executor: LocalExecutor
    log: Log
    command: str
    seed: int = 0
    on_progress: OnProgress = silent


def never(_: Setting) -> None:
    """Tell of no earlier output: the stage finds out by itself what is left to do."""


@dataclass(frozen=True)
class Stage:
    """One step of a study.

    Attributes:
        name: as reports time it.
        inputs: names of the outputs that it needs, in the order of `run`'s arguments after the setting.
        output: the name of what it returns.
        run: does the work and leaves its output in the folder.
        kept: the output that an earlier run left whole; None if there is none.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    run: Callable[..., Any]
    kept: Callable[[Setting], Any] = never


def completed(stages: Sequence[Stage], setting: Setting) -> dict[str, Any]:
    """Return every stage's output by name; what an earlier run of the study left is not done again.

    A stage's seconds add up over the runs of the study in which it did something.
    """
    folder = setting.folder
    seconds: dict[str, float] = folder.read(TIMES) if folder.has(TIMES) else {}
    outputs: dict[str, Any] = {}
    for stage in stages:
        output = stage.kept(setting)
        if output is None:
            start = time.perf_counter()
            output = stage.run(setting, *(outputs[name] for name in stage.inputs))
            seconds[stage.name] = seconds.get(stage.name, 0.0) + time.perf_counter() - start
            folder.write(TIMES, seconds)
        outputs[stage.output] = output
    return outputs
