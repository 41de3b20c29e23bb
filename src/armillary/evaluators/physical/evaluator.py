"""The physical evaluator of templates that can write RTL: a design's layout, and its cycles by another evaluator."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from armillary.evaluators import for_template
from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.physical.flow import Layout, run
from armillary.evaluators.physical.knobs import STOPS, WHOLE, Effort, Knobs, Period, Utilization
from armillary.evaluators.physical.space import parted, without_knobs
from armillary.evaluators.recording import record
from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.platform import Platform
from armillary.problems.rung import UNTIL, Rung
from armillary.temporary import temporary_folder
from armillary.types import Candidate, Cost, Design, Evaluation, Evaluator, EvaluatorSpec, Failure, Fidelity
from armillary.user_cache import cache_folder
from armillary.workloads.layer import Workload

VERSION = "4"


class PhysicalOptions(Knobs):
    """The back end's choices, whose cycles count, and where layouts are left."""

    cycles: Literal["analytical", "rtl"] = Field(
        "analytical", description="Fidelity of the template's evaluator that counts the cycles."
    )
    folder: str = Field("", description="Where layouts are left, a folder each; in the user's cache if empty.")
    seeds: int = Field(
        1, ge=1, le=100, description="Layouts of different seeds; figures are their mean, `*_sd` how they scatter."
    )


class GemminiOptions(PhysicalOptions):
    """What a whole accelerator needs, whose control and memories take more wires than an array: room, and time.

    At the utilization and clock that suit arrays alone its wires find no tracks.
    """

    clock_ns: Period = 2.0
    utilization: Utilization = 0.4
    effort: Effort = 1


class PhysicalEvaluator:
    """Designs laid out; `runtime_s` is cycles over the effective clock, `energy_pj` power over that time.

    Designs of the joint space (see `space`) bring knobs, which count in place of the options of the same names.

    Args:
        spec: of the evaluator.
        options: the back end's choices.
        platform: writes a design's hardware.
        counting: counts a workload's cycles, `delay_cycles`.
    """

    def __init__(
        self, spec: EvaluatorSpec, options: PhysicalOptions, platform: Platform[Any], counting: Evaluator
    ) -> None:
        self.spec, self._options, self._platform, self.counting = spec, options, platform, counting

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Lay out candidates, one after another; a design without a layout says in which step it failed.

        Raises:
            ArmillaryError: if a tool is missing; likewise what the evaluator that counts cycles raises.
            AccidentError: if a tool is killed.
        """
        return [self._evaluated(candidate, workload) for candidate in candidates]

    def _evaluated(self, candidate: Candidate, workload: Workload) -> Evaluation:
        started = time.perf_counter()
        design, own = parted(candidate.design)
        spec, options = without_knobs(self.spec) if own else self.spec, self._options.model_copy(update=own)
        (counted,) = self.counting.evaluate([replace(candidate, design=design)], workload)
        metrics: dict[str, float] = {}
        failure = counted.failure
        if failure is None:
            cycles = counted.metrics["delay_cycles"]
            rows = []
            for seed in self._seeds():
                layout = self._laid_out(design, options, seed)
                rows.append(metrics_of(layout, cycles, options.clock_ns))
                if layout.failure:
                    where = f"seed {seed}: " if options.seeds > 1 else ""
                    failure = Failure("infeasible", resource=layout.failed_step, detail=where + layout.failure)
                    break
            metrics = rows[-1] if failure else mean_of(rows)
        return record(spec, candidate, workload, metrics, failure, seconds=time.perf_counter() - started)

    def layout_folder(self, design: Design) -> Path:
        """Return the folder of a design's layout by the evaluator's first seed, its RTL in `rtl`; see `LaysOut`.

        Raises:
            ArmillaryError: if a tool is missing.
            AccidentError: if a tool is killed.
        """
        architecture, own = parted(design)
        return self._laid_out(architecture, self._options.model_copy(update=own), self._seeds()[0]).folder

    def rungs(self) -> tuple[Rung, ...]:
        """Return the evaluators that stop earlier; see `HasRungs`."""
        stops = tuple(STOPS)
        earlier = stops if self._options.until == WHOLE else stops[: stops.index(self._options.until)]
        own = self.spec.options
        return tuple(Rung(stop, replace(self.spec, options={**own, UNTIL: stop}), STOPS[stop]) for stop in earlier)

    def _seeds(self) -> range:
        """Return seeds of placements; evaluators of different seeds share none."""
        count = self._options.seeds
        return range(count * self.spec.seed, count * (self.spec.seed + 1))

    def _laid_out(self, design: Design, options: PhysicalOptions, seed: int) -> Layout:
        knobs = Knobs.model_validate(options.model_dump(include=set(Knobs.model_fields)))
        sources = self._platform.sources(self._platform.accelerator(**design.as_dict()))
        key = json.dumps([sources, knobs.model_dump(), seed])
        name = f"{self.spec.template}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        root = Path(options.folder) if options.folder else cache_folder("layouts")
        with temporary_folder("rtl") as folder:
            paths = [folder / file for file in sources]
            for path, text in zip(paths, sources.values(), strict=True):
                path.write_text(text, encoding="utf-8")
            return run(paths, self._platform.top, knobs, root / name, macros=self._platform.memories, seed=seed)


def metrics_of(layout: Layout, cycles: float, clock_ns: float) -> dict[str, float]:
    """Return a layout's metrics with the time and energy of so many cycles at its effective clock.

    A layout's power is that of the clock that was asked for, of period `clock_ns`; here it is that of the effective
    one, to which its dynamic part is proportional.
    """
    metrics: dict[str, Any] = {**layout.metrics, "delay_cycles": cycles}
    if layout.failure or "effective_mhz" not in metrics:
        return metrics
    runtime_s = cycles / (metrics["effective_mhz"] * 1e6)
    dynamic_mw = (metrics["internal_mw"] + metrics["switching_mw"]) * metrics["effective_mhz"] * clock_ns / 1000
    power_mw = dynamic_mw + metrics["leakage_mw"]
    return {**metrics, "runtime_s": runtime_s, "power_mw": power_mw, "energy_pj": power_mw * runtime_s * 1e9}


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of metrics over layouts of different seeds, and of several the standard deviation, `NAME_sd`.

    The deviation is that of the sample (one less than the layouts in the denominator). Seconds of CPU have none.
    """
    mean = {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}
    if len(rows) < 2:
        return mean
    scatter = {f"{name}_sd": statistics.stdev(row[name] for row in rows) for name in mean if not _is_cost(name)}
    return {**mean, **scatter}


def _is_cost(name: str) -> bool:
    return name.endswith("cpu_s")


def _kind(template: str, options: type[PhysicalOptions] = PhysicalOptions) -> EvaluatorKind:
    def make(spec: EvaluatorSpec, options: PhysicalOptions) -> PhysicalEvaluator:
        counting = for_template(template, Fidelity(options.cycles), seed=spec.seed)
        return PhysicalEvaluator(spec, options, PLATFORMS.load(template, Platform), counting)

    return EvaluatorKind(
        template=template,
        fidelity=Fidelity.PHYSICAL,
        name=f"{template}/physical",
        version=VERSION,
        cost=Cost.MINUTES,
        make=make,
        options=options,
    )


AXILINE, GENESYS, TABLA, VTA = map(_kind, ("axiline", "genesys", "tabla", "vta"))
GEMMINI = _kind("gemmini", GemminiOptions)
