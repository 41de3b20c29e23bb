"""Mapped layers on accelerators of the `gemmini` template, each on a design of its own: what surrogates learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from armillary.cores import ranges
from armillary.evaluators.gemmini.layers import UNFIT, Run, failure_of, packed
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import check_layer
from armillary.hardware.templates.gemmini import Accelerator, accelerator_of
from armillary.types import ArmillaryError, Design, Failure, LayerRun, MappedLayer
from armillary.workloads.layer import Layer

AT_ONCE = 1_024
T = TypeVar("T")


@lru_cache(maxsize=10_000)
def built(design: Design) -> Accelerator | Failure:
    """Return the accelerator of a design, or why there is none."""
    try:
        return accelerator_of(design)
    except ArmillaryError as fault:
        return failure_of(fault)


def prepared(
    wanted: MappedLayer, check: Callable[[Layer, Mapping, Accelerator], T]
) -> tuple[Accelerator, Run, T] | Failure:
    """Return the accelerator of a mapped layer, the layer as it runs it, and what the check returns; or why it cannot.

    Args:
        wanted: the mapped layer.
        check: refuses a mapping that the accelerator cannot run.

    Raises:
        ArmillaryError: if the design is of another space, or the mapping is none of the layer.
    """
    accelerator = built(wanted.design)
    if isinstance(accelerator, Failure):
        return accelerator
    layer, mapping = packed(wanted.layer, accelerator.dim), Mapping.parse(wanted.mapping)
    try:
        checked = check(layer, mapping, accelerator)
    except UNFIT as fault:
        return failure_of(fault)
    return accelerator, Run(layer, 1, wanted.layer.macs, mapping), checked


def by_cost_model(
    wanted: Sequence[MappedLayer],
    costs_of_runs: Callable[[Sequence[Accelerator], Sequence[Run]], list[dict[str, float]]],
) -> Iterator[tuple[int, LayerRun | Exception]]:
    """Yield the number of each mapped layer with its run; see `EvaluatesMappedLayers`.

    Args:
        wanted: the mapped layers.
        costs_of_runs: from accelerators and a run of a layer on each to the metrics.
    """
    for first, last in ranges(len(wanted), AT_ONCE):
        ready: list[tuple[int, Accelerator, Run]] = []
        for number in range(first, last):
            try:
                found = prepared(wanted[number], check_layer)
            except ArmillaryError as fault:
                yield number, fault
                continue
            if isinstance(found, Failure):
                yield number, refused(wanted[number], found)
            else:
                ready.append((number, found[0], found[1]))
        costs = costs_of_runs([a for _, a, _ in ready], [run for _, _, run in ready])
        for (number, _, run), metrics in zip(ready, costs, strict=True):
            yield number, recorded(wanted[number], run, metrics)


def recorded(wanted: MappedLayer, run: Run, metrics: dict[str, float]) -> LayerRun:
    """Return the run of a mapped layer that an accelerator can run."""
    return LayerRun(wanted.design, run.layer, str(run.mapping), metrics, network=wanted.network)


def refused(wanted: MappedLayer, failure: Failure) -> LayerRun:
    """Return the run of a mapped layer that its accelerator cannot run."""
    return LayerRun(wanted.design, wanted.layer, wanted.mapping, {}, failure, network=wanted.network)


def mapping_fault(wanted: MappedLayer) -> str | None:
    """Return why a mapping is none of its layer; None if it is one, or there is no accelerator of the design."""
    accelerator = built(wanted.design)
    if isinstance(accelerator, Failure):
        return None
    layer = packed(wanted.layer, accelerator.dim)
    mapping = Mapping.parse(wanted.mapping)
    return next(mapping.faults(accelerator.view(mapping).hierarchy(), layer), None)
