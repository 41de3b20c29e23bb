"""The two delays of the analytical evaluator of the `gemmini` template against its RTL, on random mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.benchmarks.starlight.scores import errors, within
from armillary.evaluators.gemmini.build import simulated_text
from armillary.evaluators.gemmini.layers import Run, costs_of_each, packed
from armillary.evaluators.gemmini.rtl import simulated
from armillary.evaluators.gemmini.sampling import Sample, random_sample
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.hardware.templates.gemmini import ALONE, SPACE, Accelerator, TooSmallError, accelerator_of
from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, merge

SAMPLED = ("resnet50", "retinanet", "bert", "unet")
"""Networks whose layers the dissertation samples."""
MODELS = ("roofline", "physics")
_DIMS = (4, 8, 16, 32)
_LAYERS = 12
_LAYERS_OF_DESIGN, _MAPPINGS = 2, 5
_DESIGNS, _QUICK_DESIGNS = 6, 2
_CUT_CYCLES, _MOST_CYCLES = 50_000, 2_000_000
"""Of the array alone, to which layers are cut; and of a random mapping by the bound, so that simulations end."""
_SMALLEST_GROUP = 5
_Row = Mapping[str, Any]


def run(options: BenchOptions) -> BenchResult:
    """Simulate 480 random mappings on 48 random designs, `--quick`: 160 on 16, and compare both delays with them.

    As many designs of each array size and dataflow, all other knobs at random. The layers of four networks are cut
    until the array can compute each in 50,000 cycles. Twelve are drawn per array size, so that each meets several
    designs; a design has five mappings of two of them. A row of the table is a group of mappings under one delay.
    """
    each = _QUICK_DESIGNS if options.quick else _DESIGNS
    kinds = list(product(_DIMS, ALONE, range(each)))
    samples: list[_Row] = []
    for done, (dim, dataflow, number) in enumerate(kinds):
        options.on_progress("designs", done, len(kinds))
        samples += _design_samples(dim, dataflow, number, options)
    options.on_progress("designs", len(kinds), len(kinds))
    write_csv(samples, options)
    rows = [
        agreement(name, model, some) for name, some in _groups(samples).items() for model in MODELS if len(some) > 1
    ]
    return BenchResult(rows, _checks(next(row for row in rows if row["model"] == "physics")), _notes(samples))


def _design_samples(dim: int, dataflow: str, number: int, options: BenchOptions) -> list[_Row]:
    """Return the samples of one design, with what both models say today of those that were simulated before."""
    seed = [options.seed, dim, ALONE.index(dataflow), number]
    accelerator = drawn(dim, dataflow, np.random.default_rng(seed))
    inputs = {
        "accelerator": asdict(accelerator),
        "seed": seed,
        "sizes": [_LAYERS, _LAYERS_OF_DESIGN, _MAPPINGS, _CUT_CYCLES, _MOST_CYCLES],
        "hardware": digest(simulated_text(accelerator)),
    }
    measuring = ("armillary.evaluators.gemmini.sampling", "armillary.evaluators.gemmini.rtl")
    networks = (zoo.paths()[name] for name in SAMPLED)
    part = Part(options.out / "samples", "-".join(map(str, seed)), inputs, (*measuring, *networks))
    found = part.measured(partial(_simulated, accelerator, seed))["rows"]
    return _timed(accelerator, found)


def drawn(dim: int, dataflow: str, rng: np.random.Generator) -> Accelerator:
    """Return a random design of the template with an array of a size, and a dataflow, that can be built."""
    while True:
        code = np.array([rng.integers(n) for n in SPACE.cardinalities])
        values = {**SPACE.design(code).as_dict(), "dim": dim, "dataflow": dataflow}
        try:
            return accelerator_of(SPACE.design_from(values, "drawn"))
        except TooSmallError:
            continue


def layers_of(dim: int, seed: int) -> list[Layer]:
    """Return the layers that are sampled at an array size, packed as it runs them."""
    most = _CUT_CYCLES * dim**2
    every = dict.fromkeys(
        cut(packed(use.layer, dim), most) for name in SAMPLED for use in merge(zoo.build(name).layers)
    )
    some = np.random.default_rng([seed, dim]).permutation(len(every))[:_LAYERS]
    layers = list(every)
    return [replace(layers[i], name=f"{layers[i].name}#{i}") for i in sorted(some.tolist())]


def cut(layer: Layer, most_macs: int) -> Layer:
    """Return a layer whose longest dimension is halved, rounded up, until it has few enough multiply-accumulates."""
    while layer.macs > most_macs:
        lengths = {**{d: getattr(layer, d) for d in "NPQ"}, **{d: getattr(layer, d) // layer.groups for d in "KC"}}
        longest = max(lengths, key=lambda d: lengths[d])
        half = -(-lengths[longest] // 2) * (layer.groups if longest in "KC" else 1)
        layer = replace(layer, **{longest: half})
    return layer


def _simulated(accelerator: Accelerator, seed: Sequence[int]) -> dict[str, Any]:
    rng = np.random.default_rng([*seed, 1])
    layers = layers_of(accelerator.dim, seed[0])
    samples: list[Sample] = []
    for layer in [layers[i] for i in rng.permutation(len(layers))]:
        if len(samples) == _LAYERS_OF_DESIGN * _MAPPINGS:
            break
        try:
            samples += [random_sample(accelerator, [layer], _MOST_CYCLES, rng) for _ in range(_MAPPINGS)]
        except ArmillaryError:
            continue  # the design has too little of something for this layer in so many cycles
    runs = [Run(one.layer, 1, one.layer.macs, one.mapping) for one in samples]
    measured = simulated(accelerator, runs)
    rows = [
        {"layer": _layer_as_json(run.layer), "mapping": str(run.mapping), "rtl_cycles": result.cycles}
        for run, result in zip(runs, measured, strict=True)
    ]
    return {"rows": rows}


def _layer_as_json(layer: Layer) -> dict[str, Any]:
    return {name: value for name, value in asdict(layer).items() if name != "bits"}


def _timed(accelerator: Accelerator, found: Sequence[_Row]) -> list[_Row]:
    if not found:
        return []
    layers = [Layer(**row["layer"]) for row in found]
    runs = [
        Run(layer, 1, layer.macs, LoopMapping.parse(row["mapping"])) for layer, row in zip(layers, found, strict=True)
    ]
    bounds = [metrics["delay_cycles"] for metrics in costs_of_each([accelerator] * len(runs), runs)]
    physics = physics_cycles(accelerator, layers, [run.mapping for run in runs])
    return [
        {
            **asdict(accelerator),
            "layer": run.layer.name,
            "mapping": row["mapping"],
            "rtl": row["rtl_cycles"],
            "roofline": bound,
            "physics": float(cycles),
        }
        for run, row, bound, cycles in zip(runs, found, bounds, physics, strict=True)
    ]


def _groups(samples: Sequence[_Row]) -> dict[str, list[_Row]]:
    found = {"all": list(samples)}
    for name, values in (("dataflow", ALONE), ("dim", _DIMS)):
        for value in values:
            found[f"{name} {value}".replace("_", " ")] = [row for row in samples if row[name] == value]
    return found


def agreement(group: str, model: str, samples: Sequence[_Row]) -> dict[str, Any]:
    """Return how a model's cycles agree with the RTL's: errors, and rank correlations over all and within groups."""
    said, true = (np.array([row[name] for row in samples], dtype=np.float64) for name in (model, "rtl"))
    layers = [(row["dim"], row["layer"]) for row in samples]
    hardware = [(*key, *(row[name] for name in SPACE.names)) for key, row in zip(layers, samples, strict=True)]
    return {
        "group": group,
        "model": model,
        "samples": len(samples),
        **errors(said, true),
        "spearman": float(spearmanr(said, true).statistic),
        "within_layer": _within(layers, said, true),
        "within_layer_and_hardware": _within(hardware, said, true),
    }


def _within(keys: Sequence[tuple[Any, ...]], said: NDArray[np.float64], true: NDArray[np.float64]) -> float | str:
    """Return the median rank correlation over groups of one key that are large enough; empty if there is none."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    found = within(np.array([numbers[key] for key in keys]), said, true, _SMALLEST_GROUP)
    return "" if found is None else found


def _checks(found: _Row) -> list[Check]:
    within = float(found["within_layer"])
    return [
        Check("rank correlation, physics", found["spearman"], "at least 0.97", found["spearman"] >= 0.97),
        Check("mean error, physics", found["mean_error"], "at most 0.17", found["mean_error"] <= 0.17),
        Check("rank correlation within a layer, physics", within, "at least 0.85", within >= 0.85),
    ]


def _notes(samples: Sequence[_Row]) -> list[str]:
    worst = sorted(samples, key=lambda row: -abs(np.log(row["physics"] / row["rtl"])))[:3]
    return [
        f"{row['physics'] / row['rtl']:.2f}x: {row['layer']} on DIM {row['dim']} {row['dataflow']}, {row['mapping']}"
        for row in worst
    ]
