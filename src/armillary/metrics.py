"""The metrics: their units, how the runs of layers add up to a network, and what follows from others.

Ours stand here. Other packages add theirs through the entry-point group `armillary.metrics`, whose entries are
`Metric` values, each under its metric's name; a problem may bring its own for itself alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from armillary.registry import Registry
from armillary.types import Evaluations, Metric

if TYPE_CHECKING:
    from armillary.workloads.phases import Phase

STALLS = ("dram", "scratchpad_bank", "accumulator", "dependency", "command")
"""What the array of a simulated accelerator waits for in cycles in which nothing enters it.

`dram`: a load, or the last stores. `scratchpad_bank`: another access to the bank. `accumulator`: a store that has to
make room. `dependency`: its own weights, or its own last sums. `command`: the next command.
"""


def total(values: Any, runs: Any) -> Any:
    """Return the sum over the last axis, layers, each as often as it runs; for NumPy arrays and tensors."""
    return (values * runs).sum(-1)


def largest(values: Any, runs: Any) -> Any:  # noqa: ARG001
    """Return the largest of the last axis, layers, however often each runs."""
    found = values.max(-1)
    return getattr(found, "values", found)  # a tensor tells where the largest stands, too


OURS: Mapping[str, Metric] = {
    "delay_cycles": Metric("cycles", over_layers=total, positive=True),
    "runtime_s": Metric("s", over_layers=total, positive=True),
    "energy_pj": Metric("pJ", over_layers=total, positive=True),
    "energy_j": Metric("J", derive=lambda m: m["energy_pj"] * 1e-12, positive=True),
    "area_mm2": Metric("mm2", over_layers=largest, positive=True),
    "utilization": Metric("1"),
    "per_input_cycles": Metric("cycles", positive=True),
    "latency_cycles": Metric("cycles", positive=True),
    "stream_cycles": Metric("cycles", positive=True),
    "throughput_mhz": Metric("MHz", positive=True),
    "command_bytes": Metric("bytes", over_layers=total),
    "dram_energy_pj": Metric("pJ", over_layers=total),
    "dram_bytes": Metric("bytes", over_layers=total),
    "onchip_bytes": Metric("bytes", over_layers=total),
    "compute_cycles": Metric("cycles", over_layers=total),
    "dram_cycles": Metric("cycles", over_layers=total),
    "onchip_cycles": Metric("cycles", over_layers=total),
    "busy_cycles": Metric("cycles", over_layers=total),
    **{f"{cause}_stall_cycles": Metric("cycles", over_layers=total) for cause in STALLS},
    "beside_cycles": Metric("cycles"),
    "beside_energy_pj": Metric("pJ"),
    "beside_dram_bytes": Metric("bytes"),
    "fused_saved_cycles": Metric("cycles"),
    "fused_saved_energy_pj": Metric("pJ"),
    "fused_saved_dram_bytes": Metric("bytes"),
    "edp_pj_cycles": Metric("pJ*cycles", derive=lambda m: m["energy_pj"] * m["delay_cycles"], positive=True),
    "power_mw": Metric("mW", derive=lambda m: m["energy_pj"] * 1e-9 / m["runtime_s"], positive=True),
    "tokens_per_s": Metric("tokens/s", positive=True),
    "energy_per_token_pj": Metric("pJ", positive=True),
    "time_to_first_token_s": Metric("s", positive=True),
    "runtime_area_s_mm2": Metric("s*mm2", derive=lambda m: m["runtime_s"] * m["area_mm2"], positive=True),
}


class _Metrics(Mapping[str, Metric]):
    """Our metrics, then those of other packages: each is loaded when it is asked for, and once."""

    def __init__(self) -> None:
        self._foreign = Registry("metric", "armillary.metrics", {})
        self._loaded: dict[str, Metric] = {}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return (*OURS, *(name for name in self._foreign.names() if name not in OURS))

    def __getitem__(self, name: str) -> Metric:
        if name in OURS:
            return OURS[name]
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._foreign.load(name, Metric)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in OURS or name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


METRICS: Mapping[str, Metric] = _Metrics()


def folded(layers: Mapping[str, Any], runs: Any, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Any]:
    """Return a network's metrics from those of its layers' runs.

    The only place where layers add up. A metric that says nothing of how it adds up, such as a utilization, and one
    that follows from others is left out.

    Args:
        layers: per metric the values of one run of each layer, shape [..., layers].
        runs: how often each layer runs per inference, shape [layers].
        metrics: which say how they add up.

    Returns:
        Per metric the values of the network, shape [...].
    """
    rules = ((name, values, metrics[name].over_layers if name in metrics else None) for name, values in layers.items())
    return {name: over_layers(values, runs) for name, values, over_layers in rules if over_layers is not None}


def of_tokens(metrics: Mapping[str, Any], phase: Phase) -> dict[str, Any]:
    """Return what a language model's metrics come to per token, as far as runtime and energy are known.

    An inference of decode is one step: it makes one token of every sequence of the batch. An inference of prefill reads
    all tokens of every prompt; the first new token follows from it.

    Args:
        metrics: of one inference; numbers, or arrays of shape [designs].
        phase: with its tokens.

    Returns:
        `tokens_per_s`, the tokens of an inference over `runtime_s`: in prefill read, in decode made.
        `energy_per_token_pj`, `energy_pj` over the same tokens. `time_to_first_token_s`, of prefill alone:
        `runtime_s`, as the prompts of a batch are read together.
    """
    found = {}
    if "runtime_s" in metrics:
        found["tokens_per_s"] = phase.tokens / metrics["runtime_s"]
        if phase.name == "prefill":
            found["time_to_first_token_s"] = metrics["runtime_s"]
    if "energy_pj" in metrics:
        found["energy_per_token_pj"] = metrics["energy_pj"] / phase.tokens
    return found


def derived(values: Mapping[str, Any], name: str, metrics: Mapping[str, Metric] = METRICS) -> Any | None:
    """Return a metric that is among the values or follows from them; None if neither."""
    if name in values:
        return values[name]
    derive = metrics[name].derive if name in metrics else None
    try:
        return derive(values) if derive is not None else None
    except KeyError:
        return None


def with_derived(
    evaluations: Evaluations, names: tuple[str, ...], metrics: Mapping[str, Metric] = METRICS
) -> Evaluations:
    """Return the rows with those of the named metrics that are missing but follow from others."""
    found = {name: derived(evaluations.metrics, name, metrics) for name in names}
    added = {name: column for name, column in found.items() if column is not None and name not in evaluations.metrics}
    return evaluations.with_metrics(added) if added else evaluations
