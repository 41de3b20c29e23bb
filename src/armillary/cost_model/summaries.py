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

from armillary.cores import ranges, workers
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.cost import Summary, batch_costs, summary
from armillary.cost_model.widths import with_layer_macs
from armillary.types import ArmillaryError

_EAGER_AT_ONCE = 8_192  # keeps a hundred intermediate values in the CPU's caches
_COMPILED_AT_ONCE = 1 << 20  # one kernel without intermediate values, so that only its input takes memory
_GPU_AT_ONCE = 1 << 22
_LONG_ENOUGH = 1 << 17
_ONE_KERNEL: dict[str, Any] = {"max_fusion_size": 1_000_000, "cpp.max_horizontal_fusion_size": 1_000_000}


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
    hierarchies = with_layer_macs(hierarchies, layers)
    n = max(len(hierarchies), len(layers), len(mappings))
    device = mappings.temporal.device
    found = Summary(
        delay_cycles=torch.empty(n, dtype=torch.float64, device=device),
        energy_pj=torch.empty(n, dtype=torch.float64, device=device),
        feasible=torch.empty(n, dtype=torch.bool, device=device),
        exact=torch.empty(n, dtype=torch.bool, device=device),
    )
    at_once = _GPU_AT_ONCE if device.type != "cpu" else _COMPILED_AT_ONCE if compiled else _EAGER_AT_ONCE
    kernel = _kernel(device) if compiled else summary

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


def _kernel(device: torch.device) -> Kernel:
    if device.type == "cpu" and not any(shutil.which(name) for name in (environ.get("CXX", "g++"), "g++", "clang++")):
        raise ArmillaryError("a compiled cost model needs a C++ compiler; install one (apt install g++)")
    fused = _compiled(device.type)

    def run(hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch) -> Summary:
        groups = [_tensors(batch) for batch in (hierarchies, layers, mappings)]
        shapes = tuple((*tuple(t.shape[:-1]), t.shape[-1] == 1) for group in groups for t in group)
        if device.type == "cpu" and shapes not in _known_shapes:
            # The compiler decides by the first batch whether a kernel is worth several threads.
            fused(*([_repeated(t, _LONG_ENOUGH) for t in group] for group in groups))
            _known_shapes.add(shapes)
        return Summary(*fused(*groups))

    return run


_known_shapes: set[tuple[tuple[int, ...], ...]] = set()


def _repeated(tensor: Tensor, n: int) -> Tensor:
    """Return a tensor of n candidates, the given ones over and over."""
    size = tensor.shape[-1]
    return tensor if size == 1 else tensor[..., torch.arange(n) % size].contiguous()


@cache
def _compiled(device_type: str) -> Callable[..., tuple[Tensor, ...]]:
    options = _ONE_KERNEL if device_type == "cpu" else None
    compiled: Callable[..., tuple[Tensor, ...]] = torch.compile(_flat_summary, options=options, dynamic=True)
    return compiled


def _flat_summary(
    hierarchies: list[Tensor], layers: list[Tensor], mappings: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    part = summary(HierarchyBatch(*hierarchies), LayerBatch(*layers), MappingBatch(*mappings))
    return part.delay_cycles, part.energy_pj, part.feasible, part.exact


def _tensors(batch: Any) -> list[Tensor]:
    return [getattr(batch, field.name).contiguous() for field in fields(batch)]
