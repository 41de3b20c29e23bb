"""How names, amounts and ratios are written for people: SI prefixes, units, comparisons."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from armillary.metrics import METRICS
from armillary.spaces.space import Parameter
from armillary.types import Evaluations, Metric, Value

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNIT_WORDS = {"bytes", "kib", "entries", "gbps", "mm2", "pj", "cycles", "bits", "mw", "um2", "ns"}
_WRITTEN = {
    "pe": "PE",
    "pes": "PEs",
    "dram": "DRAM",
    "sram": "SRAM",
    "mac": "MAC",
    "macs": "MACs",
    "simd": "SIMD",
    "io": "I/O",
    "x": "X",
    "y": "Y",
}
_LONGEST_REASON = 40
MISSING = "\u2013"  # an en dash
TIMES = "\u00d7"
ALPHA = "\u03b1"


@dataclass(frozen=True)
class Look:
    """How a metric is shown: its title, the unit its SI prefix goes before, and the words of a comparison."""

    title: str
    unit: str
    factor: float = 1.0
    prefixed: bool = True
    less: str = "lower"
    more: str = "higher"


_WAITED_FOR = {
    "dram": "DRAM",
    "scratchpad_bank": "a scratchpad bank",
    "accumulator": "the accumulator",
    "dependency": "earlier results",
    "command": "a command",
}
_LOOKS = {
    "runtime_s": Look("Runtime", "s", less="faster", more="slower"),
    "delay_cycles": Look("Delay", "cycles", less="faster", more="slower"),
    "energy_pj": Look("Energy", "J", 1e-12, less="less energy", more="more energy"),
    "energy_j": Look("Energy", "J", less="less energy", more="more energy"),
    "area_mm2": Look("Area", "mm²", prefixed=False, less="smaller", more="larger"),
    "core_mm2": Look("Area of the core", "mm²", prefixed=False, less="smaller", more="larger"),
    "effective_mhz": Look("Effective clock", "MHz", prefixed=False),
    "power_mw": Look("Mean power", "W", 1e-3),
    "throughput_per_s": Look("Throughput", "inferences/s", prefixed=False),
    "tops_per_w": Look("Efficiency", "TOPS/W", prefixed=False),
    "dram_bytes": Look("DRAM traffic", "B", less="less traffic", more="more traffic"),
    "onchip_bytes": Look("On-chip traffic", "B", less="less traffic", more="more traffic"),
    "compute_cycles": Look("Cycles of compute alone", "cycles"),
    "dram_cycles": Look("Cycles of DRAM alone", "cycles"),
    "onchip_cycles": Look("Cycles of on-chip traffic alone", "cycles"),
    "busy_cycles": Look("Cycles with the array at work", "cycles"),
    **{f"{cause}_stall_cycles": Look(f"Cycles waiting for {what}", "cycles") for cause, what in _WAITED_FOR.items()},
    "utilization": Look("Utilisation", "%", 100.0, prefixed=False),
    "edp_pj_cycles": Look("Energy-delay product", "J·cycles", 1e-12),
}


_SCALED = {"bytes": ("B", 1.0), "s": ("s", 1.0), "cycles": ("cycles", 1.0), "pJ": ("J", 1e-12), "mW": ("W", 1e-3)}
"""Units that take an SI prefix: the unit it goes before, and the factor that leads there."""
_IN_NAMES = (*_SCALED, "mm")
"""Units that are read from the end of a metric's name where nothing else tells."""


def look(metric: str, metrics: Mapping[str, Metric] | None = None) -> Look:
    """Return how to show a metric; one that has no look of its own goes by its unit, which may end its name.

    The unit of a metric that is not among the metrics is read from its name.
    """
    if metric in _LOOKS:
        return _LOOKS[metric]
    metrics = METRICS if metrics is None else metrics
    by_name = next((unit for unit in _IN_NAMES if metric.endswith(f"_{unit.lower()}")), "")
    unit = metrics[metric].unit if metric in metrics else by_name
    words = title(metric.removesuffix("_" + re.sub("[^a-z0-9]+", "_", unit.lower())))
    if unit in _SCALED:
        return Look(words, *_SCALED[unit])
    return Look(words, "" if unit == "1" else unit, prefixed=False)


def title(name: str) -> str:
    """Return a parameter, resource or component name as words: `pe_memory_bytes` -> `PE memory`.

    A unit ends identifiers only; in `row bytes`, which is words already, it says what is counted.
    """
    spaced = re.sub(r"(?<=[a-z])[A-Z](?=[a-z])", lambda start: f" {start[0].lower()}", name)
    words = spaced.replace("-", " ").replace("_", " ").split()
    if len(words) > 1 and words[-1] in _UNIT_WORDS and " " not in name:
        words = words[:-1]
    text = " ".join(_WRITTEN.get(word, word) for word in words)
    return text[:1].upper() + text[1:]


def with_unit(words: str, unit: str) -> str:
    """Return the title of an axis with its unit, where it has one."""
    return f"{words} ({unit})" if unit else words


def reason(rows: Evaluations, row: int) -> str:
    """Return in a few words why a row failed: what it lacked, else what its evaluator said, else the kind."""
    if rows.failure_resource[row]:
        return title(str(rows.failure_resource[row]))
    detail = str(rows.failure_detail[row])
    return detail if 0 < len(detail) <= _LONGEST_REASON else title(str(rows.failure_kind[row]))


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, thousands separated, never in exponent form."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # of the rounded value: 9.996 has the digits of 10.0
    decimals = max(0, digits - 1 - exponent)
    return f"{value:,.{decimals}f}"


def count_text(value: int) -> str:
    """Return a whole number, thousands separated; a power of ten where nobody would read the digits."""
    return f"{value:,}" if value < 10**15 else _times_power(value)


def _times_power(value: float) -> str:
    exponent = math.floor(math.log10(abs(value)))
    return f"{number(float(value / 10**exponent))}{TIMES}10{str(exponent).translate(_SUPERSCRIPTS)}"


def signed(value: float) -> str:
    """Return a correlation with two decimals and a true minus sign."""
    return f"{value:.2f}".replace("-", "\u2212")


def _prefix_power(value: float) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    # The small factor lets 999.6 round up into the next prefix instead of becoming 1,000.
    power = 3 * math.floor(math.log10(abs(value) * 1.0005) / 3)
    return min(max(power, min(_PREFIXES)), max(_PREFIXES))


def quantity(value: float, unit: str) -> str:
    """Return an amount with an SI prefix before its unit: (0.00123, "s") -> `1.23 ms`."""
    if not math.isfinite(value):
        return MISSING
    power = _prefix_power(value)
    return f"{number(value / 10**power)} {_PREFIXES[power]}{unit}"


@dataclass(frozen=True)
class Scale:
    """One unit for a quantity, e.g. for a whole axis: multiply by `factor`, write `unit`."""

    factor: float
    unit: str

    def text(self, value: float) -> str:
        """Return a value in this unit, with the unit."""
        scaled = value * self.factor
        if not math.isfinite(scaled):
            return MISSING
        written = number(scaled) if abs(scaled) < 1e6 else _times_power(scaled)
        return f"{written} {self.unit}".rstrip()

    @staticmethod
    def of(values: Iterable[float], unit: str, factor: float = 1.0) -> Scale:
        """Return the scale whose prefix suits the median of the values; `factor` leads to the bare unit."""
        finite = sorted(abs(v) * factor for v in values if math.isfinite(v) and v != 0)
        power = _prefix_power(finite[len(finite) // 2]) if finite else 0
        return Scale(factor / 10**power, f"{_PREFIXES[power]}{unit}")

    @staticmethod
    def of_metric(metric: str, values: Iterable[float], metrics: Mapping[str, Metric] | None = None) -> Scale:
        """Return the scale for values of a metric."""
        shown = look(metric, metrics)
        return Scale.of(values, shown.unit, shown.factor) if shown.prefixed else Scale(shown.factor, shown.unit)


def bytes_text(value: float, *, least: float) -> str:
    """Return a memory size with the binary prefix that suits the least of its kind: (2097152, 4096) -> `2,048 KiB`."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if abs(least) >= 2**power:
            return f"{value / 2**power:,.7g} {unit}"
    return f"{value:,.7g} B"


def value_text(parameter: Parameter, value: Value) -> str:
    """Return the value of a parameter with its unit."""
    if isinstance(value, str):
        return value
    if parameter.unit == "bytes":
        return bytes_text(
            value, least=min((v for v in parameter.values if not isinstance(v, str) and v), default=value)
        )
    plain = f"{value:,}" if isinstance(value, int) else f"{value:,g}"
    return plain if parameter.unit == "1" else f"{plain} {parameter.unit}"


def comparison(metric: str, value: float, other: float) -> str:
    """Return how `value` compares with `other`: `2.31x faster`; empty where either is unknown."""
    if not (math.isfinite(value) and math.isfinite(other)) or value <= 0 or other <= 0:
        return ""
    shown = look(metric)
    ratio = other / value
    if abs(math.log(ratio)) < 0.005:
        return "equal"
    return f"{number(ratio)}{TIMES} {shown.less}" if ratio > 1 else f"{number(1 / ratio)}{TIMES} {shown.more}"


def percent(share: float) -> str:
    """Return a share as a percentage that never rounds a remainder away: 0.9996 -> `>99.9%`."""
    if not math.isfinite(share):
        return MISSING
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    decimals = 1 if 0 < share < 0.1 or 0.9 < share < 1 else 0
    return f"{100 * share:.{decimals}f}%"


def duration(seconds: float) -> str:
    """Return a duration of a stage: `0.4 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def shortened(text: str, width: int) -> str:
    """Return the text cut in its middle to at most `width` characters, both ends kept readable."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def within(bounds: Iterable[str]) -> str:
    """Return what to call designs that can run the workload and keep every bound, if there is one."""
    return "within bounds" if list(bounds) else "feasible"


def listed(items: list[str], last: str = "and") -> str:
    """Return items as a phrase: `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"
