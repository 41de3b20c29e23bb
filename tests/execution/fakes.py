"""Evaluators that do what their designs say: answer, break, hang, die. Worker processes import them, too."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from armillary.cores import available
from armillary.evaluators.recording import of_network, record, table
from armillary.spaces.space import Parameter, Space
from armillary.types import (
    AccidentError,
    ArmillaryError,
    Candidate,
    Cost,
    EvaluatorSpec,
    Failure,
    Fidelity,
    LayerRun,
)
from armillary.workloads.layer import Layer, LayerUse, Workload

DOES = ("good", "infeasible", "raises", "too long", "wrong", "accident", "passing", "killed", "hangs", "hungry", "slow")
SPACE = Space("fakes", (Parameter("does", DOES, kind="categorical"), Parameter("size", tuple(range(20)))))
WORKLOAD = Workload("two", (LayerUse(Layer("a", "gemm", K=4, C=8)), LayerUse(Layer("b", "gemm", K=2, C=6, P=3), 2, 1)))


def spec(folder: Path, kind: str = "plain", cost: Cost = Cost.SECONDS, version: str = "1", **options) -> EvaluatorSpec:
    """Return the specification of a fake that writes into a folder what it was asked."""
    told = {"folder": str(folder), "kind": kind, **options}
    return EvaluatorSpec("fakes", Fidelity.ANALYTICAL, "fake", version, told, cost)


def design(does: str, size: int = 0):
    return SPACE.design_from({"does": does, "size": size}, "test")


def asked(folder: Path) -> list[str]:
    """Return what evaluators were asked since the last time, one line per evaluation or layer run."""
    path = folder / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def make(spec: EvaluatorSpec) -> Fake:
    """Return the fake that a specification describes."""
    return {"plain": Fake, "batches": Batches, "layers": Layers, "mapped": Mapped}[str(spec.options["kind"])](spec)


class Fake:
    """Evaluates one candidate after another."""

    def __init__(self, spec: EvaluatorSpec) -> None:
        self.spec, self._folder = spec, Path(str(spec.options["folder"]))

    def evaluate(self, candidates, workload):
        return [self._one(candidate, workload) for candidate in candidates]

    def _note(self, what: str) -> None:
        with (self._folder / "asked").open("a") as file:  # one short write is not torn by another process's
            file.write(f"{what}\n")

    def _one(self, candidate: Candidate, workload: Workload, layers=()):
        does, size = candidate.design["does"], candidate.design["size"]
        self._note(f"{does} {size}")
        start = time.perf_counter()
        failure = self._does(str(does), size)
        metrics = {"runtime_s": 1.0 + size, "area_mm2": float(available())}
        seconds = time.perf_counter() - start
        return record(
            self.spec, candidate, workload, {} if failure else metrics, failure, seconds=seconds, layers=layers
        )

    def _does(self, does: str, size: int) -> Failure | None:
        return getattr(self, "_" + does.replace(" ", "_"))(size)

    def _good(self, size):  # noqa: ARG002
        return None

    def _infeasible(self, size):  # noqa: ARG002
        return Failure("infeasible", "memory_bytes", needed=2.0, available=1.0)

    def _raises(self, size):
        raise ValueError(f"size {size} is odd")

    def _too_long(self, size):  # noqa: ARG002
        raise TimeoutError("not done after 10 cycles")

    def _wrong(self, size):  # noqa: ARG002
        raise ArmillaryError("tool not found: pip install tool")

    def _accident(self, size):  # noqa: ARG002
        raise AccidentError("tool: ended by SIGKILL")

    def _passing(self, size):
        """An accident that happens as often as the size says."""
        mark = self._folder / f"passed{size}"
        before = len(mark.read_text()) if mark.exists() else 0
        mark.write_text("x" * (before + 1))
        if before < size:
            raise AccidentError("tool: ended by SIGKILL")

    def _killed(self, size):
        """The process dies as often as the size says."""
        mark = self._folder / f"died{size}"
        before = len(mark.read_text()) if mark.exists() else 0
        mark.write_text("x" * (before + 1))
        if before < size:
            os.kill(os.getpid(), signal.SIGKILL)

    def _hangs(self, size):  # noqa: ARG002
        from armillary.tools.command import Command
        from armillary.tools.process import run

        run(Command(("sh", "-c", f"echo $$ > {self._folder}/tool; exec sleep 60")))

    def _hungry(self, size):  # noqa: ARG002
        held = bytearray(3 << 30)
        assert held is not None

    def _slow(self, size):
        time.sleep(size / 10)


class Batches(Fake):
    """Evaluates batches, which break whole if one of their designs does."""

    def evaluate_codes(self, codes, workload):
        designs = SPACE.designs(codes)
        self._note(f"batch of {len(codes)}")
        for one in designs:
            if one["does"] in ("raises", "wrong"):
                self._does(str(one["does"]), one["size"])
        feasible = np.array([one["does"] != "infeasible" for one in designs])
        runtime = np.array([1.0 + one["size"] for one in designs])
        metrics = {"runtime_s": np.where(feasible, runtime, np.nan)}
        return table(self.spec, SPACE, codes, workload, metrics, seconds=0.0, feasible=feasible)


class Layers(Fake):
    """Runs layers; `b` breaks on a design that raises. Each mapping takes as many cycles as its text is long."""

    def evaluate(self, candidates, workload):
        found = []
        for candidate in candidates:
            runs = self.run_layers([candidate], [use.layer for use in workload.layers])
            counts = {use.layer.name: use.count for use in workload.layers}
            runs = [replace(run, runs=counts[run.layer.name]) for run in runs]
            answer = self._one(candidate, workload, runs)
            found.append(replace(answer, metrics={**answer.metrics, **of_network(runs)}))
        return found

    def run_layers(self, candidates, layers):
        return [self._run(candidate, layer) for candidate in candidates for layer in layers]

    def _run(self, candidate, layer):
        self._note(f"layer {layer.name}")
        if layer.name == "b" and candidate.design["does"] != "good":
            self._does(str(candidate.design["does"]), candidate.design["size"])
        text = (candidate.mappings or {}).get(layer.name, f"found for {layer.name}")
        if text == "does not fit":
            return LayerRun(candidate.design, layer, text, {}, Failure("infeasible", "rows", layer.name, 2.0, 1.0))
        return LayerRun(candidate.design, layer, text, {"delay_cycles": float(len(text) * layer.macs)})


class Mapped(Fake):
    """Runs mapped layers, the last first; each takes as many cycles as its mapping's text is long."""

    def run_mapped(self, wanted):
        for number in range(len(wanted) - 1, -1, -1):
            one = wanted[number]
            self._note(f"{one.network} {one.layer.name} {one.mapping}")
            try:
                failure = self._does(str(one.design["does"]), one.design["size"])
            except Exception as fault:
                yield number, fault
                continue
            metrics = {} if failure else {"delay_cycles": float(len(one.mapping))}
            yield number, LayerRun(one.design, one.layer, one.mapping, metrics, failure, network=one.network)

    def mapping_fault(self, wanted):
        return "it is long" if len(wanted.mapping) > 20 else None
