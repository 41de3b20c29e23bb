"""The physical evaluator of templates that can write RTL: a design's layout, and its cycles by another evaluator."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.physical.flow import Layout, run
from armillary.evaluators.physical.knobs import Knobs
from armillary.evaluators.recording import record, without_search
from armillary.types import Candidate, Cost, Design, Evaluation, EvaluatorSpec, Failure, Fidelity
from armillary.user_cache import cache_folder
from armillary.workloads.layer import Workload

VERSION = "1"


class PhysicalOptions(Knobs):
    """The back end's choices, and where layouts are left."""

    folder: str = Field("", description="Where layouts are left, a folder each; in the user's cache if empty.")


@dataclass(frozen=True)
class Rtl:
    """What a template writes of a design.

    Attributes:
        sources: text by file name.
        top: the top module.
        macros: ports (1 or 2) of the modules that are memories.
    """

    sources: Mapping[str, str]
    top: str
    macros: Mapping[str, int]


WritesRtl = Callable[[Design, Workload], Rtl | Failure]
"""Returns a design's RTL for a workload, or why there can be none."""
CountsCycles = Callable[[Design, Workload], float | Failure]
"""Returns the cycles that a design takes for a workload, or why it cannot run it."""


class PhysicalEvaluator:
    """Designs laid out; `runtime_s` is cycles over the effective clock, `energy_pj` power over that time.

    Args:
        spec: of the evaluator.
        options: the back end's choices.
        rtl: writes a design's.
        cycles: counts a workload's.
    """

    def __init__(self, spec: EvaluatorSpec, options: PhysicalOptions, rtl: WritesRtl, cycles: CountsCycles) -> None:
        self.spec, self._options, self._rtl, self._cycles = spec, options, rtl, cycles

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Lay out candidates, one after another; a design without a layout says in which step it failed.

        Raises:
            ArmillaryError: if a tool is missing, or a candidate names a search for its mappings.
            AccidentError: if a tool is killed.
        """
        without_search(candidates, self.spec)
        return [self._evaluated(candidate, workload) for candidate in candidates]

    def _evaluated(self, candidate: Candidate, workload: Workload) -> Evaluation:
        started = time.perf_counter()
        found = self._cycles(candidate.design, workload)
        rtl = found if isinstance(found, Failure) else self._rtl(candidate.design, workload)
        if isinstance(found, Failure) or isinstance(rtl, Failure):
            failure = found if isinstance(found, Failure) else rtl
            assert isinstance(failure, Failure)
            return record(self.spec, candidate, workload, {}, failure, seconds=time.perf_counter() - started)
        layout = self._laid_out(candidate.design, rtl)
        metrics = metrics_of(layout, found)
        why = Failure("infeasible", resource=layout.failed_step, detail=layout.failure) if layout.failure else None
        return record(self.spec, candidate, workload, metrics, why, seconds=time.perf_counter() - started)

    def _laid_out(self, design: Design, rtl: Rtl) -> Layout:
        knobs = Knobs.model_validate(self._options.model_dump(exclude={"folder"}))
        key = json.dumps([design.as_dict(), dict(rtl.sources), knobs.model_dump(), self.spec.seed], default=str)
        name = f"{self.spec.template}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        root = Path(self._options.folder) if self._options.folder else cache_folder("layouts")
        with tempfile.TemporaryDirectory(prefix="armillary-rtl-") as folder:
            paths = [Path(folder) / file for file in rtl.sources]
            for path, text in zip(paths, rtl.sources.values(), strict=True):
                path.write_text(text, encoding="utf-8")
            return run(paths, rtl.top, knobs, root / name, macros=rtl.macros, seed=self.spec.seed)


def metrics_of(layout: Layout, cycles: float) -> dict[str, float]:
    """Return a layout's metrics with the time and energy of so many cycles at its effective clock.

    A layout's power is that of the clock that was asked for; here it is that of the effective one, to which its dynamic
    part is proportional.
    """
    metrics: dict[str, Any] = {**layout.metrics, "delay_cycles": cycles}
    if layout.failure or "effective_mhz" not in metrics:
        return metrics
    runtime_s = cycles / (metrics["effective_mhz"] * 1e6)
    asked_mhz = metrics["fmax_mhz"] / (1 + metrics["slack_ns"] * metrics["fmax_mhz"] / 1000)
    dynamic_mw = (metrics["internal_mw"] + metrics["switching_mw"]) * metrics["effective_mhz"] / asked_mhz
    power_mw = dynamic_mw + metrics["leakage_mw"]
    return {**metrics, "runtime_s": runtime_s, "power_mw": power_mw, "energy_pj": power_mw * runtime_s * 1e9}


def kind(template: str, rtl: WritesRtl, cycles: CountsCycles) -> EvaluatorKind:
    """Return the physical evaluator of a template, to be registered as `TEMPLATE.physical`.

    Args:
        template: its name.
        rtl: writes a design's.
        cycles: counts a workload's.
    """
    return EvaluatorKind(
        template=template,
        fidelity=Fidelity.PHYSICAL,
        name=f"{template}/physical",
        version=VERSION,
        cost=Cost.MINUTES,
        make=lambda spec, options: PhysicalEvaluator(spec, options, rtl, cycles),
        options=PhysicalOptions,
    )
