"""Samples of (design, layer, mapping) of the `gemmini` template, stratified over the array's size and over layers.

The hardware is that of Table 5.1 of the dissertation: array, scratchpad and accumulator vary; the other parameters are
those of the template's baseline, with a bus no wider than a row of the array. Mappings are those of `full_array`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.evaluators.gemmini.full_array import FullArrayMappings, full_array_mappings
from armillary.evaluators.gemmini.layers import packed
from armillary.evaluators.gemmini.sampling import rows_of_tiles
from armillary.evaluators.sampling import LayerSampling, SampledLayers
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE, VARIED, Accelerator, accelerator_of
from armillary.spaces.samplers import SAMPLERS
from armillary.types import ArmillaryError, Design, MappedLayer, Value
from armillary.workloads.layer import Layer, Workload

_DRAWN, _ROUNDS = 32, 40
"""Mappings that are drawn at once for a sample whose first does not fit, and how often."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass
class _Group:
    """Samples of one layer on arrays of one size and dataflow."""

    layer: Layer
    network: str
    rows: list[int] = field(default_factory=list)
    designs: list[Design] = field(default_factory=list)


def sample_layers(
    networks: Sequence[Workload], sampling: LayerSampling, on_done: Callable[[int], None]
) -> SampledLayers:
    """Return samples; see `SamplesLayers`.

    Raises:
        ArmillaryError: if a knob is no parameter, or has a value that is not allowed; if no array can do a layer in
            the cycles that are allowed.
    """
    layers = _different(networks)
    knobs = _values(sampling.knobs)
    may_end = {
        dim: [i for i, (_, layer) in enumerate(layers) if _may_end(layer, int(dim), sampling.most_cycles)]
        for dim in knobs["dim"]
    }
    if not all(may_end.values()):
        too_small = [dim for dim, numbers in may_end.items() if not numbers]
        raise ArmillaryError(
            f"most_cycles={sampling.most_cycles:g} is not allowed; an array of {too_small[0]} rows does none of the "
            f"{len(layers)} layers in so few, even if it is always busy"
        )
    pairs = islice(_strata(may_end, sampling.seed), -(-sampling.samples // sampling.mappings))
    strata = [pair for pair in pairs for _ in range(sampling.mappings)][: sampling.samples]
    free = [name for name in knobs if name != "dim" and len(knobs[name]) > 1]
    width = len(free) + _coordinates([layer for _, layer in layers], knobs["dataflow"], sampling.remainders)
    points = SAMPLERS[sampling.sampler](sampling.samples, width, sampling.seed)
    groups: dict[tuple[Value, Value, int], _Group] = {}
    for row, (dim, number) in enumerate(strata):
        of_pair = points[row - row % sampling.mappings]
        design = _design(int(dim), knobs, dict(zip(free, of_pair.tolist(), strict=False)))
        network, layer = layers[number]
        group = groups.setdefault((dim, design["dataflow"], number), _Group(layer, network))
        group.rows.append(row)
        group.designs.append(design)
    found: dict[int, MappedLayer] = {}
    for group in groups.values():
        texts = _mappings(group, points[group.rows, len(free) :], sampling)
        for row, design, text in zip(group.rows, group.designs, texts, strict=True):
            if text is not None:
                found[row] = MappedLayer(design, group.layer, text, group.network)
        on_done(len(found))
    return SampledLayers(
        rows=tuple(found[row] for row in sorted(found)),
        layers=len(layers),
        too_long=sum(len(layers) - len(numbers) for numbers in may_end.values()),
        missed=sampling.samples - len(found),
    )


def _different(networks: Sequence[Workload]) -> list[tuple[str, Layer]]:
    """Return every different layer once, with the first network that has it."""
    found: dict[Layer, tuple[str, Layer]] = {}
    for network in networks:
        for use in network.layers:
            found.setdefault(use.layer, (network.name, use.layer))
    return list(found.values())


def _values(knobs: Mapping[str, Sequence[Value]]) -> dict[str, tuple[Value, ...]]:
    """Return the values that each parameter takes."""
    unknown = [name for name in knobs if name not in SPACE.names]
    if unknown:
        raise ArmillaryError(f"knob {unknown[0]!r} is no parameter of {SPACE.name}; it has {list(SPACE.names)}")
    found = {}
    for parameter in SPACE.parameters:
        values = knobs.get(parameter.name)
        if values is None:
            values = parameter.values if parameter.name in VARIED else (TEMPLATE.defaults[parameter.name],)
        for value in values:
            parameter.code(value)
        found[parameter.name] = tuple(dict.fromkeys(values))
    narrowest, smallest = (min(int(value) for value in found[name]) for name in ("bus_bytes", "dim"))
    if "bus_bytes" in knobs and narrowest > smallest:
        raise ArmillaryError(
            f"knob bus_bytes={narrowest} is not allowed; an array of {smallest} rows needs one of at most {smallest}"
        )
    return found


def _may_end(layer: Layer, dim: int, most_cycles: float | None) -> bool:
    """Return whether an array that is always busy does a layer in the cycles that are allowed."""
    return most_cycles is None or layer.macs / dim**2 <= most_cycles


def _strata(layers_of: Mapping[Value, Sequence[int]], seed: int) -> Iterator[tuple[Value, int]]:
    """Yield an array's size and the number of a layer, without end: every size, and of it every layer, in turn."""
    rngs = {dim: np.random.default_rng([seed, place]) for place, dim in enumerate(layers_of)}
    waiting: dict[Value, list[int]] = {dim: [] for dim in layers_of}
    while True:
        for dim, numbers in layers_of.items():
            if not waiting[dim]:
                waiting[dim] = rngs[dim].permutation(numbers).tolist()
            yield dim, waiting[dim].pop()


def _design(dim: int, knobs: Mapping[str, tuple[Value, ...]], points: Mapping[str, float]) -> Design:
    """Return a design of a size; parameters of several values by numbers of 0 to 1."""
    values: dict[str, Value] = {"dim": dim}
    for name, choices in knobs.items():
        if name == "bus_bytes":  # at most a row of the array
            narrow = [value for value in choices if int(value) <= dim]
            choices = tuple(narrow) or (max(v for v in _BUSES if v <= dim),)
        if name != "dim":
            values[name] = choices[min(int(points.get(name, 0.0) * len(choices)), len(choices) - 1)]
    return SPACE.design_from(values, "sampled design")


_BUSES = [int(value) for parameter in SPACE.parameters if parameter.name == "bus_bytes" for value in parameter.values]


def _coordinates(layers: Sequence[Layer], dataflows: Sequence[Value], remainders: bool) -> int:
    """Return how many coordinates of a point a mapping takes at most."""
    arrays = [Accelerator(dataflow=dataflow) for dataflow in dataflows]  # type: ignore[arg-type]
    return max(full_array_mappings(a, layer, remainders=remainders).width for a in arrays for layer in layers)


def _mappings(group: _Group, points: Floats, sampling: LayerSampling) -> list[str | None]:
    """Return a mapping of each sample of a group as text, None where none of those that were drawn will do.

    Args:
        group: of samples.
        points: of which their first mappings are, shape [samples, coordinates].
        sampling: what else counts.
    """
    accelerators = [accelerator_of(design) for design in group.designs]
    layer = packed(group.layer, accelerators[0].dim)
    mappings = full_array_mappings(accelerators[0], layer, remainders=sampling.remainders)
    judge = _Judge(mappings, layer, accelerators, sampling.most_cycles)
    every = np.arange(len(accelerators))
    chosen = mappings.codes(points[:, : mappings.width])
    fits, will_do = judge.verdict(chosen, every)
    done = will_do | (~fits & (_random(sampling.seed, group.rows, 0, 1)[:, 0, 0] < sampling.unfit_share))
    for turn in range(1, _ROUNDS + 1):
        left = np.flatnonzero(~done)
        if not len(left):
            break
        drawn = _random(sampling.seed, [group.rows[i] for i in left], turn, mappings.width)
        codes = mappings.codes(drawn.reshape(-1, mappings.width))
        _, will_do = judge.verdict(codes, np.repeat(left, _DRAWN))
        will_do = will_do.reshape(-1, _DRAWN)
        found = np.flatnonzero(will_do.any(axis=1))
        chosen[left[found]] = codes[found * _DRAWN + will_do[found].argmax(axis=1)]
        done[left[found]] = True
    done |= ~fits  # where no mapping fits, the first one tells so
    return [str(mappings.mapping(code)) if ends else None for code, ends in zip(chosen, done.tolist(), strict=True)]


def _random(seed: int, rows: Sequence[int], turn: int, width: int) -> Floats:
    """Return numbers of 0 to 1 of each sample, whatever the others are, shape [samples, mappings, width]."""
    return np.stack([np.random.default_rng([seed, row, turn]).random((_DRAWN, width)) for row in rows])


class _Judge:
    """Which mappings of a layer fit accelerators, and how long they take."""

    def __init__(
        self,
        mappings: FullArrayMappings,
        layer: Layer,
        accelerators: Sequence[Accelerator],
        most_cycles: float | None,
    ) -> None:
        self._mappings, self._layer, self._accelerators = mappings, layer, accelerators
        self._most_cycles = most_cycles
        self._chips = HierarchyBatch.of([accelerator.hierarchy() for accelerator in accelerators])
        self._work = LayerBatch.of([layer])
        self._scratchpad = np.array([a.scratchpad_rows for a in accelerators])
        self._accumulator = np.array([a.accumulator_rows for a in accelerators])

    def verdict(self, codes: Numbers, whose: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which mappings fit their accelerators, given by number, and which also end in time, shape [n] each."""
        held, sums = rows_of_tiles(self._accelerators[0], self._layer, self._mappings.factors(codes))
        fits = np.asarray((held <= self._scratchpad[whose]) & (sums <= self._accumulator[whose]))
        if self._most_cycles is None or not fits.any():
            return fits, fits
        some, ends = np.flatnonzero(fits), np.zeros(len(fits), dtype=bool)
        chips = self._chips.select(torch.from_numpy(whose[some]))
        delay = summaries(chips, self._work, self._mappings.batch(codes[some])).delay_cycles.numpy()
        ends[some] = delay <= self._most_cycles
        return fits, ends
