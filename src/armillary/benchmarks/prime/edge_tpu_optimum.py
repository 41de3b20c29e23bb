"""The true optimum of every PRIME scenario, by evaluating all 452,760,000 designs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from armillary.atomic_file import replaced
from armillary.benchmarks.parts import Part
from armillary.benchmarks.prime.scenarios import AREA_MM2, ENC, M6, V2, label, scenarios
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators.edge_tpu.enumeration import Enumeration, Optimum, Scenario
from armillary.evaluators.edge_tpu.evaluator import DELAY_VERSION, KIND
from armillary.execution.local import evaluated_codes
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.workloads import zoo

KNOWN = "edge_tpu_optimum.json"
_QUICK = tuple(Scenario((name,), AREA_MM2) for name in (V2, M6, ENC))


def run(options: BenchOptions) -> BenchResult:
    """Evaluate all designs for every scenario of PRIME's tables; `--quick` for MobileNetV2, M6 and t-RNN Enc alone.

    The space is cut into a hundred parts; each is saved when it is done, with the 1,000 best designs,
    so that a run that was stopped goes on. The best designs found are evaluated
    again by the evaluator itself.
    """
    wanted = _QUICK if options.quick else tuple(scenarios())
    workloads = {name: zoo.build(name) for name in dict.fromkeys(n for s in wanted for n in s.workloads)}
    space = Enumeration(workloads, wanted)
    folder = options.out / ("quick" if options.quick else "full")
    found = [Optimum.nothing() for _ in wanted]
    seconds = 0.0
    for number in range(space.parts):
        options.on_progress("parts of the space", number, space.parts)
        part, took = _part(space, number, folder)
        seconds += took
        found = [whole.joined(more) for whole, more in zip(found, part, strict=True)]
    options.on_progress("parts of the space", space.parts, space.parts)
    rows = [_row(s, optimum) for s, optimum in zip(wanted, found, strict=True)]
    with replaced(folder / KNOWN) as unfinished:
        unfinished.write_text(json.dumps(_known(wanted, found), indent=1))
    return BenchResult(
        rows=rows,
        checks=_checks(wanted, found) + _recorded_checks(wanted, found),
        notes=[
            f"{SPACE.size:,} designs for {len(workloads)} workloads and {len(wanted)} scenarios in {seconds:,.0f} s: "
            f"{SPACE.size * len(workloads) / max(seconds, 1e-9):,.0f} designs and workloads per second.",
            f"The same as a file, with the best design of each: {folder / KNOWN}",
        ],
    )


def _part(space: Enumeration, number: int, folder: Path) -> tuple[list[Optimum], float]:
    path = _kept(space, number, folder).path
    if not path.exists():
        start = time.perf_counter()
        found = space.part(number)
        columns: dict[str, Any] = {
            f"{i}-{name}": np.asarray(value) for i, optimum in enumerate(found) for name, value in vars(optimum).items()
        }
        with replaced(path) as unfinished:
            np.savez_compressed(unfinished, seconds=time.perf_counter() - start, **columns)
    with np.load(path) as saved:
        optima = [
            Optimum(
                codes=saved[f"{i}-codes"],
                runtime_s=saved[f"{i}-runtime_s"],
                legal=int(saved[f"{i}-legal"]),
            )
            for i in range(len(space.scenarios))
        ]
        return optima, float(saved["seconds"])


def _kept(space: Enumeration, number: int, folder: Path) -> Part:
    """Return where a part of the space is kept; its code is that of the enumeration alone."""
    scenarios = [[s.workloads, s.area_mm2] for s in space.scenarios]
    networks = dict.fromkeys(name for s in space.scenarios for name in s.workloads)
    sources = (Enumeration.__module__, *(zoo.paths()[name] for name in networks))
    inputs = {"scenarios": scenarios, "part": number, "parts": space.parts}
    return Part(folder, f"part-{number:03}", inputs, sources, ending=".npz")


def _row(scenario: Scenario, optimum: Optimum) -> dict[str, Any]:
    best = SPACE.design(optimum.codes[0])
    tied = int((optimum.runtime_s == optimum.runtime_s[0]).sum())
    return {
        "workloads": label(scenario.workloads),
        "area mm2": scenario.area_mm2,
        "optimum ms": 1e3 * float(optimum.runtime_s[0]),
        "1000th ms": 1e3 * float(optimum.runtime_s[-1]),
        "legal designs": optimum.legal,
        "legal share": optimum.legal / SPACE.size,
        "as good": f"{tied}" if tied < len(optimum.runtime_s) else f"{tied} or more",
        "one of the best": " ".join(str(value) for value in best.as_dict().values()),
    }


def _checks(wanted: Sequence[Scenario], found: Sequence[Optimum]) -> list[Check]:
    """Evaluate the best thousand of each scenario with the evaluator itself."""
    worst = 0.0
    for scenario, optimum in zip(wanted, found, strict=True):
        runs = [evaluated_codes(KIND.spec(), SPACE, optimum.codes, zoo.build(name)) for name in scenario.workloads]
        again = np.mean([r.metrics["runtime_s"] for r in runs], axis=0)
        again = np.where(runs[0].metrics["area_mm2"] <= scenario.area_mm2, again, np.inf)
        worst = max(worst, float(np.abs(again / optimum.runtime_s - 1).max()))
    return [Check("largest difference from the evaluator, relative", worst, "at most 1e-9", worst <= 1e-9)]


def _known(wanted: Sequence[Scenario], found: Sequence[Optimum]) -> dict[str, Any]:
    return {
        "command": "armillary bench edge-tpu-optimum",
        "delay_version": DELAY_VERSION,
        "scenarios": [
            {
                "workloads": list(s.workloads),
                "area_mm2": s.area_mm2,
                "runtime_s": float(o.runtime_s[0]),
                "legal": o.legal,
                "codes": o.codes[0].tolist(),
            }
            for s, o in zip(wanted, found, strict=True)
        ],
    }


@cache
def known_optima() -> Mapping[Scenario, float]:
    """Return the runtimes that an earlier full run recorded; none if the delays have changed since."""
    recorded = json.loads((resources.files(__package__) / KNOWN).read_text(encoding="utf-8"))
    if recorded["delay_version"] != DELAY_VERSION:
        return {}
    return {Scenario(tuple(s["workloads"]), s["area_mm2"]): s["runtime_s"] for s in recorded["scenarios"]}


def regret(scenario: Scenario, runtime_s: float) -> float:
    """Return a runtime over the true optimum of its scenario; NaN if that is not recorded."""
    return runtime_s / known_optima().get(scenario, float("nan"))


def _recorded_checks(wanted: Sequence[Scenario], found: Sequence[Optimum]) -> list[Check]:
    recorded = known_optima()
    differ = [s for s, o in zip(wanted, found, strict=True) if s in recorded and recorded[s] != float(o.runtime_s[0])]
    unknown = [s for s in wanted if s not in recorded]
    return [
        Check("optima that differ from the recorded ones", len(differ), "none", not differ),
        Check("optima that are not recorded", len(unknown), "none", not unknown),
    ]
