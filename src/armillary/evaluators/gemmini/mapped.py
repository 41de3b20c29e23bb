"""Mapped layers on accelerators of the `gemmini` template, each on a design of its own: what surrogates learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from armillary.cores import ranges
from armillary.evaluators.gemmini.layers import UNFIT, Run, built, failure_of, packed
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import check_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError, Failure, LayerRun, MappedLayer
from armillary.workloads.layer import Layer

AT_ONCE = 1_024
T = TypeVar("T")


@dataclass(frozen=True)
class Ready(Generic[T]):
    """A mapped layer that its accelerator can run.

    Attributes:
        number: of the mapped layer among those that were asked for.
        accelerator: of its design.
        run: the layer as the accelerator runs it.
        checked: what the check returned.
    """

    number: int
    accelerator: Accelerator
    run: Run
    checked: T


Settled = tuple[int, LayerRun | Exception]
"""The number of a mapped layer, and what became of it."""


def sorted_out(
    wanted: Sequence[MappedLayer], check: Callable[[Layer, Mapping, Accelerator], T]
) -> tuple[list[Settled], list[Ready[T]]]:
    """Return the mapped layers that cannot run, each with the reason, and those that can.

    Args:
        wanted: the mapped layers. The fault of one whose design is of another space, or whose mapping is none of its
            layer, is an exception.
        check: refuses a mapping that the accelerator cannot run.
    """
    settled: list[Settled] = []
    ready: list[Ready[T]] = []
    for number, one in enumerate(wanted):
        try:
            found = _prepared(number, one, check)
        except ArmillaryError as fault:
            settled.append((number, fault))
            continue
        if isinstance(found, Failure):
            settled.append((number, refused(one, found)))
        else:
            ready.append(found)
    return settled, ready


def _prepared(
    number: int, wanted: MappedLayer, check: Callable[[Layer, Mapping, Accelerator], T]
) -> Ready[T] | Failure:
    accelerator = built(wanted.design)
    if isinstance(accelerator, Failure):
        return accelerator
    layer, mapping = packed(wanted.layer, accelerator.dim), Mapping.parse(wanted.mapping)
    try:
        checked = check(layer, mapping, accelerator)
    except UNFIT as fault:
        return failure_of(fault)
    return Ready(number, accelerator, Run(layer, 1, wanted.layer.macs, mapping), checked)


def by_cost_model(
    wanted: Sequence[MappedLayer],
    costs_of_runs: Callable[[Sequence[Accelerator], Sequence[Run]], list[dict[str, float]]],
) -> Iterator[Settled]:
    """Yield the number of each mapped layer with its run; see `EvaluatesMappedLayers`.

    Args:
        wanted: the mapped layers.
        costs_of_runs: from accelerators and a run of a layer on each to the metrics.
    """
    for first, last in ranges(len(wanted), AT_ONCE):
        some = wanted[first:last]
        settled, ready = sorted_out(some, check_layer)
        yield from ((first + number, found) for number, found in settled)
        costs = costs_of_runs([one.accelerator for one in ready], [one.run for one in ready])
        for one, metrics in zip(ready, costs, strict=True):
            yield first + one.number, recorded(some[one.number], one.run, metrics)


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
