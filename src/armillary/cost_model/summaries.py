"""Delay, energy and feasibility of any number of mappings, fast and in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from os import environ
from typing import Any

import numpy as np
import torch
from torch import Tensor

from armillary.cores import ranges, workers
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.cost import Summary, batch_costs, summary
from armillary.cost_model.kernel.judge import judge_some
from armillary.cost_model.kernel.nest import Chip, Work, room
from armillary.cost_model.packed import chips_of, nests_of, works_of
from armillary.cost_model.widths import with_layer_macs
from armillary.types import ArmillaryError

_AT_ONCE = 16_384
_COMPILED_AT_ONCE = 1 << 20  # one kernel without intermediate values, so that only its input takes memory
_GPU_AT_ONCE = 1 << 22
_LONG_ENOUGH = 1 << 17
_ONE_KERNEL: dict[str, Any] = {"max_fusion_size": 1_000_000, "cpp.max_horizontal_fusion_size": 1_000_000}


def summaries(
    hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch, *, compiled: bool = False
) -> Summary:
    """Return delay, energy and feasibility of every candidate, all exact.

    On a CPU those of a candidate that does not fit may be infinite.

    Args:
        hierarchies: one for all candidates, or one each.
        layers: likewise.
        mappings: the candidates, on any device.
        compiled: use one fused kernel of tensor operations, which takes about a minute to compile the first time on a
            machine and seconds later; for a million perfect mappings and more, most of which fit.

    Raises:
        ArmillaryError: if a kernel is asked for and there is no C++ compiler.
    """
    if mappings.temporal.device.type == "cpu" and not compiled:
        return _one_by_one(hierarchies, layers, mappings)
    hierarchies = with_layer_macs(hierarchies, layers)
    n = max(len(hierarchies), len(layers), len(mappings))
    device = mappings.temporal.device
    found = Summary(
        delay_cycles=torch.empty(n, dtype=torch.float64, device=device),
        energy_pj=torch.empty(n, dtype=torch.float64, device=device),
        feasible=torch.empty(n, dtype=torch.bool, device=device),
        exact=torch.empty(n, dtype=torch.bool, device=device),
    )
    kernel = _kernel(device) if compiled else summary
    for first, last in ranges(n, _GPU_AT_ONCE if device.type != "cpu" else _COMPILED_AT_ONCE):
        some = slice(first, last)
        with torch.no_grad():
            part = kernel(hierarchies.select(some), layers.select(some), mappings.select(some))
        _into(found, first, part, last - first)
    _make_exact(found, hierarchies, layers, mappings)
    return found


def _one_by_one(hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch) -> Summary:
    """Return the summaries of candidates by the kernel that a search uses, on every core."""
    n = max(len(hierarchies), len(layers), len(mappings))
    chips, works = chips_of(hierarchies, layers), works_of(layers)
    own = tuple(int(len(stacked[0]) > 1) for stacked in (chips, works))
    costs, fits = np.empty((n, 2)), np.empty(n, dtype=bool)

    def work(first: int, last: int) -> None:
        nests = nests_of(mappings.select(slice(first, last)))
        some = [slice(first, last) if each else slice(0, 1) for each in own]
        part = Chip(*(array[some[0]] for array in chips)), Work(*(array[some[1]] for array in works))
        judge_some(nests, *part, *own, 0, last - first, room(chips), costs[first:last], fits[first:last])

    parts = ranges(n, _AT_ONCE)
    work(*parts[0])  # which compiles the kernel, where that is needed, once
    with workers(mappings.temporal.device) as share:
        share(work, parts[1:])
    delay, energy = (torch.from_numpy(costs[:, i].copy()) for i in (0, 1))
    return Summary(delay, energy, torch.from_numpy(fits), torch.ones(n, dtype=torch.bool))


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
