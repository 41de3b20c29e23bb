"""The tables of the page, as plain values that the template only has to lay out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from armillary.metrics import METRICS, derived
from armillary.reports.layer_figures import BOUND_NAMES
from armillary.reports.units import LayerUnits, layer_units, look_of, suiting, text_of
from armillary.reports.wording import (
    comparison,
    duration,
    listed,
    number,
    percent,
    quantity,
    title,
    value_text,
)
from armillary.spaces.space import Parameter
from armillary.studies.results import Contender, Role, StudyResults
from armillary.types import ArmillaryError, Value
from armillary.workloads.layer import NotMapped

_FIRST = ("runtime_s", "throughput_per_s", "delay_cycles", "energy_pj", "power_mw", "tops_per_w", "area_mm2")
_MOST_NAMED = 4  # values of a categorical parameter


@dataclass(frozen=True)
class Heading:
    """The head of a contender's column; `status` says why its numbers do not count, if they do not."""

    role: Role
    name: str
    note: str
    status: str
    detail: str


@dataclass(frozen=True)
class Mark:
    """Where a contender's value stands among the allowed ones, 0 to 1."""

    role: Role
    position: float


@dataclass(frozen=True)
class DesignRow:
    """One parameter: the value of each contender, and the allowed values as a scale with marks."""

    label: str
    name: str
    values: tuple[str, ...]
    differs: tuple[bool, ...]
    allowed: str
    ticks: tuple[float, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class MetricRow:
    """One metric: the value of each contender and how the winner compares with the others."""

    label: str
    values: tuple[str, ...]
    comparisons: tuple[str, ...]
    bound: str


@dataclass(frozen=True)
class LayerRow:
    """One layer: its work, its time on each contender, and how the winner handles it."""

    position: int
    name_parts: tuple[str, ...]
    kind: str
    runs: str
    macs: str
    seconds: tuple[str, ...]
    gain: str
    bound: str
    utilization: str
    dram: str
    energy: str
    mapping: str


@dataclass(frozen=True)
class LayerTable:
    """The per-layer table with the units of its columns, and how to read its mappings; empty if it has none."""

    units: LayerUnits
    names: tuple[str, ...]
    rows: tuple[LayerRow, ...]
    mappings: str


def headings(results: StudyResults) -> list[Heading]:
    """Return the column heads of the contenders."""
    return [_heading(results, role, contender) for role, contender in results.contenders()]


def _heading(results: StudyResults, role: Role, contender: Contender) -> Heading:
    if contender.failure is not None:
        return Heading(role, contender.name, contender.note, "infeasible", str(contender.failure))
    broken = [
        f"{text_of(results, name, contender.metrics[name])} exceeds the bound of {text_of(results, name, bound)}"
        for name, bound in results.bounds.items()
        if contender.metrics.get(name, 0.0) > bound
    ]
    return Heading(role, contender.name, contender.note, "out of bounds" if broken else "", "; ".join(broken))


def design_rows(results: StudyResults) -> list[DesignRow]:
    """Return one row per parameter of the space."""
    return [_design_row(results, parameter) for parameter in results.space.parameters]


def _design_row(results: StudyResults, parameter: Parameter) -> DesignRow:
    values = [(role, contender.design[parameter.name]) for role, contender in results.contenders()]
    return DesignRow(
        label=title(parameter.name),
        name=parameter.name,
        values=tuple(value_text(parameter, value) for _, value in values),
        differs=tuple(value != values[0][1] for _, value in values),
        allowed=_allowed(parameter),
        ticks=tuple(_position(parameter, code) for code in range(len(parameter.values))),
        marks=tuple(mark for role, value in reversed(values) if (mark := _mark(parameter, role, value)) is not None),
    )


def _allowed(parameter: Parameter) -> str:
    first, last = (value_text(parameter, parameter.values[i]) for i in (0, -1))
    if len(parameter.values) == 1:
        return first
    if parameter.kind == "categorical" and len(parameter.values) <= _MOST_NAMED:
        return listed([value_text(parameter, value) for value in parameter.values], "or")
    return f"{len(parameter.values)} values, {first.removesuffix(f' {parameter.unit}')} to {last}"


def _position(parameter: Parameter, code: int) -> float:
    return code / (len(parameter.values) - 1) if len(parameter.values) > 1 else 0.5


def _mark(parameter: Parameter, role: Role, value: Value) -> Mark | None:
    try:
        return Mark(role, _position(parameter, parameter.code(value)))
    except ArmillaryError:  # a published design may lie beside the space; its value is in the table all the same
        return None


def metric_rows(results: StudyResults) -> list[MetricRow]:
    """Return one row per metric that any contender has: the objective first, then bounds, then the rest."""
    shown = [_with_rates(contender) for _, contender in results.contenders()]
    known = {name for metrics in shown for name in metrics}
    order = dict.fromkeys([results.problem.metric, *results.bounds, *_FIRST, *METRICS, *sorted(known)])
    return [_metric_row(results, name, shown) for name in order if name in known]


def _with_rates(contender: Contender) -> dict[str, float]:
    """Return a contender's metrics, with throughput, mean power and operations per energy where they follow.

    A multiply-accumulate counts as two operations.
    """
    found = dict(contender.metrics)
    runtime_s, energy_pj = (found.get(name, math.nan) for name in ("runtime_s", "energy_pj"))
    macs = sum(layer.macs for layer in contender.layers)
    if runtime_s > 0:
        found["throughput_per_s"] = 1 / runtime_s
    if (power_mw := derived(found, "power_mw")) is not None:
        found["power_mw"] = power_mw
    if macs and energy_pj > 0:
        found["tops_per_w"] = 2 * macs / energy_pj
    return found


def remarks(results: StudyResults) -> list[str]:
    """Return what to know beside the metrics, each remark once with the contenders that it is of."""
    owners: dict[tuple[str, str], list[str]] = {}
    for _, contender in results.contenders():
        if contender.explanation is not None:
            for told in contender.explanation.remarks.items():
                owners.setdefault(told, []).append(contender.name)
    return [f"{look_of(results, metric).title} of {listed(names)}: {text}." for (metric, text), names in owners.items()]


def _metric_row(results: StudyResults, name: str, shown: Sequence[Mapping[str, float]]) -> MetricRow:
    values = [metrics.get(name, math.nan) for metrics in shown]
    bound, scale = results.bounds.get(name), suiting(name, values, results.problem.metrics)
    return MetricRow(
        label=look_of(results, name).title,
        values=tuple(scale.text(value) for value in values),
        comparisons=tuple(comparison(name, values[0], value) for value in values[1:]),
        bound="" if bound is None else f"at most {text_of(results, name, bound)}",
    )


def layer_table(results: StudyResults) -> LayerTable | None:
    """Return the time of every layer on every contender, with the first one's limits."""
    shown = [contender for _, contender in results.contenders() if contender.layers]
    if not shown:
        return None
    seconds = np.stack([contender.layer_seconds() for contender in shown])
    units = layer_units(shown)
    rows = [_layer_row(shown[0], i, seconds[:, i], units) for i in range(seconds.shape[1])]
    names = tuple(contender.name for contender in shown)
    return LayerTable(units, names, tuple(rows), _how_to_read(shown[0]))


def _how_to_read(contender: Contender) -> str:
    texts = [layer.mapping for layer in contender.layers if layer.mapping]
    if not texts:
        return ""
    if not all(re.match(r"L\d+\[", text) for text in texts):
        return f"The mappings are those of {contender.name}."
    return (
        f"The mappings are those of {contender.name}: the memory levels, the outermost first, each with the tensors "
        "that it keeps (weights W, inputs I, outputs O) and its loops, the outermost first. X and Y mark loops that "
        "are spread over the array; N1 stands for no loop."
    )


def left_out(results: StudyResults) -> list[str]:
    """Return the layers of the workload that the numbers say nothing of, as where a template has no array for them."""
    shown = [contender for _, contender in results.contenders() if contender.layers]
    if not shown:
        return []
    there = {layer.name.split("#")[0] for layer in shown[0].layers}  # a layer's second array is named `layer#2`
    of_workload = [use.layer.name for workload in results.problem.workloads for use in workload.layers]
    return [name for name in of_workload if name.split("#")[0] not in there]


def _layer_row(winner: Contender, position: int, seconds: np.ndarray, units: LayerUnits) -> LayerRow:
    layer = winner.layers[position]
    return LayerRow(
        position=position + 1,
        name_parts=tuple(re.split(r"(?<=[/._])", layer.name)),  # where a long name may break
        kind=layer.kind,
        runs=f"{layer.count:,}",
        macs=number(layer.macs * units.work.factor),
        seconds=tuple(number(float(value) * units.time.factor) for value in seconds),
        gain=comparison("runtime_s", float(seconds[0]), float(seconds[1])) if len(seconds) > 1 else "",
        bound=BOUND_NAMES[layer.bound],
        utilization=percent(layer.utilization),
        dram=number(layer.dram_bytes * units.traffic.factor),
        energy=number(layer.energy_pj * units.energy.factor),
        mapping=layer.mapping,
    )


@dataclass(frozen=True)
class Share:
    """One part of a whole, with its colour class in the page's style sheet."""

    label: str
    kind: str
    share: float
    text: str


def log_shares(results: StudyResults) -> list[Share]:
    """Return how the logged designs divide into legal, out of bounds and infeasible; empty parts are left out."""
    legal = int(results.legal(results.log).sum())
    feasible = int(results.log.feasible.sum())
    failed = results.log.failure_kind[~results.log.feasible]
    broken = int(np.isin(failed, ["error", "timeout"]).sum())
    parts = [
        ("Within bounds" if results.bounds else "Feasible", "legal", legal),
        ("Out of bounds", "outside", feasible - legal),
        ("Infeasible", "infeasible", len(failed) - broken),
        ("Evaluation broke", "broken", broken),
    ]
    total = len(results.log) or 1
    return [
        Share(label, kind, count / total, f"{count:,} ({percent(count / total)})")
        for label, kind, count in parts
        if count
    ]


def stage_rows(results: StudyResults) -> list[tuple[str, str, float]]:
    """Return label, duration and share of the total of each stage that took any time."""
    total = sum(results.stage_seconds.values()) or 1.0
    stages = [(title(name), duration(seconds), seconds / total) for name, seconds in results.stage_seconds.items()]
    return [stage for stage in stages if stage[1] != duration(0.0)]


def beside_rows(results: StudyResults) -> list[tuple[str, str, str, str, str]]:
    """Return kind, count, time, its share of an inference and energy of the winner's operators beside the array."""
    winner = results.winner
    if winner.explanation is None or winner.rates is None:
        return []
    clock_hz, total = winner.rates.clock_hz, winner.total_s
    return [
        (
            _WORK_NAMES[cost.kind],
            f"{cost.count:,}",
            "unknown" if cost.kind == "unknown" else text_of(results, "runtime_s", cost.delay_cycles / clock_hz),
            "unknown" if cost.kind == "unknown" else percent(cost.delay_cycles / clock_hz / total),
            "unknown" if cost.energy_pj is None or cost.kind == "unknown" else quantity(cost.energy_pj * 1e-12, "J"),
        )
        for cost in winner.explanation.beside
    ]


def fused_rows(results: StudyResults) -> list[tuple[str, str, str, str, str, str]]:
    """Return the winner's fused layers: names, runs, tiles, and the time, energy and DRAM traffic that they save."""
    winner = results.winner
    if winner.explanation is None or winner.rates is None:
        return []
    clock_hz = winner.rates.clock_hz
    return [
        (
            f"{pair.producer} and {pair.consumer}",
            f"{pair.count:,}",
            pair.tiling,
            f"{1e6 * pair.saved_delay_cycles / clock_hz:,.4g} us",
            f"{1e-6 * pair.saved_energy_pj:,.4g} uJ",
            f"{1e-6 * pair.saved_dram_bytes:,.4g} MB",
        )
        for pair in winner.explanation.fused
    ]


def beside_share(results: StudyResults) -> str:
    """Return which share of the winner's inference its operators beside the array take; empty where they have none."""
    winner = results.winner
    if winner.explanation is None or winner.rates is None or not winner.explanation.beside:
        return ""
    cycles = sum(cost.delay_cycles for cost in winner.explanation.beside)
    return percent(cycles / winner.rates.clock_hz / winner.total_s)


def import_notes(results: StudyResults) -> list[str]:
    """Return what the workload's numbers leave out, and what to know of them."""
    return [*(f"Work that is left out: {why}." for why in results.unknown_work), *results.import_warnings]


def not_mapped_rows(results: StudyResults) -> list[tuple[str, str, str]]:
    """Return operator, count and traffic of what does not run on the array, most traffic first."""
    ranked = sorted(results.not_mapped, key=lambda entry: -entry.bytes_moved)
    return [(entry.op_type, f"{entry.count:,}", _traffic(entry)) for entry in ranked]


_WORK_NAMES = {
    "clamp": "bounds, as of ReLU",
    "scale": "scales and requantisation",
    "function": "functions of a value",
    "sum": "sums of two tensors",
    "combine": "other operations on several tensors",
    "softmax": "softmax",
    "normalization": "normalisation",
    "pool": "pooling",
    "reduce": "sums and maxima over axes",
    "stride": "reading in other steps",
    "move": "moving values",
    "fused": "operators between fused layers",
    "unknown": "operators whose work is unknown",
}


def _traffic(entry: NotMapped) -> str:
    known = quantity(float(entry.bytes_moved), "B")
    if not entry.unsized:
        return known
    unknown = f"{entry.unsized:,} tensor{'s' if entry.unsized > 1 else ''} of unknown size"
    return f"{known} and {unknown}" if entry.bytes_moved else unknown


def best_trials(results: StudyResults, most: int = 10) -> list[tuple[str, str, str, str, bool]]:
    """Return alpha, beta, step, tau and whether it was chosen, for the best-ranking surrogates."""
    if results.selection is None:
        return []
    chosen = results.selection.trials[results.selection.chosen]
    ranked = sorted(results.selection.trials, key=lambda trial: -np.nan_to_num(trial.kendall, nan=-2.0))[:most]
    if chosen not in ranked:
        ranked.append(chosen)
    return [
        (f"{t.alpha:g}", f"{t.beta:g}", f"{t.checkpoint:,}", f"{t.kendall:.3f}", t == chosen)
        for t in ranked
    ]  # fmt: skip
