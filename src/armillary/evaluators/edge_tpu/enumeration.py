"""All 452,760,000 designs of the Edge TPU template: the true optimum of an application, or of several together.

Most of the work is saved, and nothing of the exactness. A design above the area bound is known
before it is evaluated. The instruction memory only adds cycles for the program that it does not
hold, so its four values share one evaluation of the others. And the DRAM bandwidth has no area,
takes no part in legality, and more of it is never slower: of its six values the largest is
evaluated and the others are counted. What is left runs through the compiler's own tensor function,
fused into one kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.evaluators.edge_tpu.compiler import (
    INSTRUCTION_LINE_BYTES,
    INVOCATION_S,
    ChipTensors,
    LayerTensors,
    compile_workload,
    issue_cycles,
)
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, SPACE, EdgeTpuChips, area_mm2
from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload

KEPT = 1000
_AT_ONCE = {True: 1 << 17, False: 1 << 11}  # designs; a fused kernel needs no room for what lies between
_INSTRUCTION = SPACE.names.index("instruction_memory_entries")
_BANDWIDTH = SPACE.names.index("dram_bandwidth_gbps")
_PARTS_OVER = 2  # parameters whose values number the parts


@dataclass(frozen=True)
class Scenario:
    """What is minimised: the mean runtime of workloads, all of which must run, within an area."""

    workloads: tuple[str, ...]
    area_mm2: float


@dataclass(frozen=True)
class Optimum:
    """The best designs of a scenario.

    Attributes:
        codes: the best designs of the largest DRAM bandwidth, the best first, shape [kept, parameters].
        runtime_s: their mean runtimes, shape [kept].
        legal: how many designs, of any bandwidth, meet the bound and run every workload.
    """

    codes: NDArray[np.int64]
    runtime_s: NDArray[np.float64]
    legal: int

    @staticmethod
    def nothing() -> Optimum:
        """Return that of no designs."""
        width = len(SPACE.names)
        return Optimum(np.empty((0, width), dtype=np.int64), np.empty(0), 0)

    def joined(self, other: Optimum) -> Optimum:
        """Return that of the designs of both; of equal runtimes the lower code stands first."""
        codes = np.concatenate([self.codes, other.codes])
        runtime = np.concatenate([self.runtime_s, other.runtime_s])
        order = np.lexsort((*codes.T[::-1], runtime))[:KEPT]
        return Optimum(codes[order], runtime[order], self.legal + other.legal)


class Enumeration:
    """Every design of the space, part by part.

    Args:
        workloads: what is to run, by name.
        scenarios: what to minimise; their workloads are among those.
        compiled: fuse the compiler's function into one kernel (needs a C++ compiler); ten times as fast.

    Raises:
        ArmillaryError: if a scenario names a workload that is not given.
    """

    def __init__(
        self, workloads: Mapping[str, Workload], scenarios: Sequence[Scenario], *, compiled: bool = True
    ) -> None:
        missing = sorted({name for s in scenarios for name in s.workloads} - set(workloads))
        if missing:
            raise ArmillaryError(
                f"scenarios name workloads {missing}, which are not given; given are {list(workloads)}"
            )
        self.scenarios = tuple(scenarios)
        self._kernels = {name: _Kernel(w, compiled) for name, w in workloads.items()}
        self._areas = sorted({s.area_mm2 for s in scenarios})
        self._at_once = _AT_ONCE[compiled]

    @property
    def parts(self) -> int:
        """How many parts the space is cut into."""
        return int(np.prod(SPACE.cardinalities[:_PARTS_OVER]))

    def part(self, number: int) -> list[Optimum]:
        """Return the optimum of each scenario within a part of the space."""
        found = [Optimum.nothing() for _ in self.scenarios]
        for codes in self._within(number):
            runtimes = self._runtimes(codes)
            area = _areas(codes)
            found = [
                best.joined(self._best(s, codes, runtimes, area)) for best, s in zip(found, self.scenarios, strict=True)
            ]
        return found

    def _within(self, number: int) -> Iterator[NDArray[np.int64]]:
        """Yield designs whose area may be within a bound, in batches: see `_tail` for what stands for others."""
        fixed = np.array(np.unravel_index(number, SPACE.cardinalities[:_PARTS_OVER]))
        codes = _tail().copy()
        codes[:, :_PARTS_OVER] = fixed
        codes = codes[area_mm2(codes) <= self._areas[-1]]
        for first in range(0, len(codes), self._at_once):
            yield codes[first : first + self._at_once]

    def _runtimes(self, codes: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return runtimes with every instruction memory, infinite if illegal, each of shape [memories, designs]."""
        chips = ChipTensors.of(EdgeTpuChips.of(codes), torch.device("cpu"))
        return {name: kernel(chips) for name, kernel in self._kernels.items()}

    def _best(
        self,
        scenario: Scenario,
        codes: NDArray[np.int64],
        runtimes: Mapping[str, NDArray[np.float64]],
        area: NDArray[np.float64],
    ) -> Optimum:
        mean = np.mean([runtimes[name] for name in scenario.workloads], axis=0)
        mean = np.where(area <= scenario.area_mm2, mean, np.inf)
        memory, design = np.nonzero(np.isfinite(mean))
        values = mean[memory, design]
        if len(values) > KEPT:
            chosen = np.argpartition(values, KEPT)[:KEPT]
            chosen = np.flatnonzero(values <= values[chosen].max())
        else:
            chosen = np.arange(len(values))
        best = codes[design[chosen]]
        best[:, _INSTRUCTION] = memory[chosen]
        return Optimum.nothing().joined(Optimum(best, values[chosen], len(values) * SPACE.cardinalities[_BANDWIDTH]))


def _tail() -> NDArray[np.int64]:
    """Return every combination of the parameters within a part: the smallest instruction memory, the largest bandwidth.

    The other instruction memories are evaluated with it, the other bandwidths are never faster.
    """
    choices = [range(n) for n in SPACE.cardinalities]
    choices[:_PARTS_OVER] = [range(1)] * _PARTS_OVER
    choices[_INSTRUCTION] = range(1)
    choices[_BANDWIDTH] = range(SPACE.cardinalities[_BANDWIDTH] - 1, SPACE.cardinalities[_BANDWIDTH])
    return np.array(list(product(*choices)), dtype=np.int64)


def _areas(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return areas with every instruction memory, shape [memories, designs]."""
    found = []
    for memory in range(SPACE.cardinalities[_INSTRUCTION]):
        changed = codes.copy()
        changed[:, _INSTRUCTION] = memory
        found.append(area_mm2(changed))
    return np.stack(found)


def _cycles(chips: list[Tensor], layers: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return cycles without program and invocation, and whether every layer is legal, each of shape [designs]."""
    work = LayerTensors(*layers)
    compiled = compile_workload(ChipTensors(*chips), work)
    return (compiled.cycles * work.count.reshape(1, -1)).sum(dim=1), compiled.legal.all(dim=1)


@cache
def _fused() -> Callable[..., tuple[Tensor, Tensor]]:
    fused: Callable[..., tuple[Tensor, Tensor]] = torch.compile(_cycles, dynamic=True)
    return fused


class _Kernel:
    """Runtimes of a workload on designs, for every instruction memory."""

    def __init__(self, workload: Workload, compiled: bool) -> None:
        self._layers = LayerTensors.of(workload, torch.device("cpu"))
        self._fixed_cycles = issue_cycles(self._layers) + INVOCATION_S * CLOCK_HZ
        self._cycles = _fused() if compiled else _cycles

    def __call__(self, chips: ChipTensors) -> NDArray[np.float64]:
        with torch.inference_mode():
            cycles, legal = self._cycles(_tensors(chips), _tensors(self._layers))
            per_byte = chips.dram_cycles_per_byte(INSTRUCTION_LINE_BYTES).reshape(1, -1)
            missing = (self._layers.program_bytes - self._instruction_bytes).clamp(min=0).reshape(-1, 1)
            total = torch.ceil(cycles + (missing * per_byte + self._fixed_cycles))
            return torch.where(legal, total / CLOCK_HZ, torch.inf).numpy()

    @cached_property
    def _instruction_bytes(self) -> Tensor:
        codes = np.zeros((SPACE.cardinalities[_INSTRUCTION], len(SPACE.names)), dtype=np.int64)
        codes[:, _INSTRUCTION] = np.arange(len(codes))
        return ChipTensors.of(EdgeTpuChips.of(codes), torch.device("cpu")).instruction_memory_bytes


def _tensors(batch: ChipTensors | LayerTensors) -> list[Tensor]:
    return [getattr(batch, field.name) for field in fields(batch)]
