"""Delay, energy and feasibility of any number of mappings, fast and in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from os import environ
from typing import Any

import torch
from torch import Tensor

from armillary.evaluators.analytical.batch import HierarchyBatch, LayerBatch, MappingBatch, pick
from armillary.evaluators.analytical.cost import Summary, batch_costs, summary
from armillary.evaluators.workers import ranges, workers
from armillary.types import ArmillaryError

_EAGER_AT_ONCE = 8_192  # keeps a hundred intermediate values in the CPU's caches
_COMPILED_AT_ONCE = 65_536  # one kernel without intermediate values; long enough for all threads
_GPU_AT_ONCE = 1 << 22
_ONE_KERNEL = {"max_fusion_size": 1_000_000, "cpp.max_horizontal_fusion_size": 1_000_000}


def summaries(
    hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch, *, compiled: bool = False
) -> Summary:
    """Return delay, energy and feasibility of every candidate, all exact.

    Args:
        hierarchies: one for all candidates, or one each.
        layers: likewise.
        mappings: the candidates, on any device.
        compiled: use one fused kernel, ten times as fast, that takes about a minute to compile the first
            time on a machine and seconds later; for a million candidates and more.

    Raises:
        ArmillaryError: if a kernel is asked for and there is no C++ compiler.
    """
    n = max(len(hierarchies), len(layers), len(mappings))
    device = mappings.temporal.device
    found = Summary(
        delay_cycles=torch.empty(n, dtype=torch.float64, device=device),
        energy_pj=torch.empty(n, dtype=torch.float64, device=device),
        feasible=torch.empty(n, dtype=torch.bool, device=device),
        exact=torch.empty(n, dtype=torch.bool, device=device),
    )
    at_once = _GPU_AT_ONCE if device.type != "cpu" else _COMPILED_AT_ONCE if compiled else _EAGER_AT_ONCE
    kernel = _kernel(device, at_once) if compiled else summary

    def work(first: int, last: int) -> None:
        some = slice(first, last)
        with torch.no_grad():
            part = kernel(hierarchies.select(some), layers.select(some), mappings.select(some))
        _into(found, first, part, last - first)

    if compiled or device.type != "cpu":
        for first, last in ranges(n, at_once):
            work(first, last)
    else:
        with workers(device) as share:
            share(work, ranges(n, at_once))
    _make_exact(found, hierarchies, layers, mappings)
    return found


def _into(found: Summary, first: int, part: Summary, n: int) -> None:
    for field in fields(Summary):
        getattr(found, field.name)[first : first + n] = getattr(part, field.name)[:n]


def _make_exact(found: Summary, hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch) -> None:
    """Put in what needs a look at single instances; infeasible candidates may stay as they are."""
    where = torch.nonzero(~found.exact & found.feasible).flatten()
    for some in torch.split(where, _COMPILED_AT_ONCE) if len(where) else ():
        with torch.no_grad():
            costs = batch_costs(hierarchies.select(some), layers.select(some), mappings.select(some))
        found.delay_cycles[some] = costs.delay_cycles
        found.energy_pj[some] = costs.energy_pj
    found.exact[:] = True


Kernel = Callable[[HierarchyBatch, LayerBatch, MappingBatch], Summary]


def _kernel(device: torch.device, at_once: int) -> Kernel:
    if device.type == "cpu" and not any(shutil.which(name) for name in (environ.get("CXX", "g++"), "g++", "clang++")):
        raise ArmillaryError("a compiled cost model needs a C++ compiler; install one (apt install g++)")
    fused = _compiled(device.type)

    def run(hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch) -> Summary:
        groups = [[_padded(t, at_once) for t in _tensors(batch)] for batch in (hierarchies, layers, mappings)]
        return Summary(*fused(*groups))

    return run


@cache
def _compiled(device_type: str) -> Callable[..., tuple[Tensor, ...]]:
    options = _ONE_KERNEL if device_type == "cpu" else None
    compiled: Callable[..., tuple[Tensor, ...]] = torch.compile(_flat_summary, options=options)  # type: ignore[arg-type]
    return compiled


def _flat_summary(
    hierarchies: list[Tensor], layers: list[Tensor], mappings: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    part = summary(HierarchyBatch(*hierarchies), LayerBatch(*layers), MappingBatch(*mappings))
    return part.delay_cycles, part.energy_pj, part.feasible, part.exact


def _tensors(batch: Any) -> list[Tensor]:
    return [getattr(batch, field.name) for field in fields(batch)]


def _padded(tensor: Tensor, n: int) -> Tensor:
    """Return a tensor of n candidates, the last repeated, so that one compiled kernel serves every length."""
    if tensor.shape[-1] in (1, n):
        return tensor.contiguous()
    index = torch.arange(n, device=tensor.device).clamp(max=tensor.shape[-1] - 1)
    return pick(tensor, index)
