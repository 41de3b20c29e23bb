"""Area and clock of the `gemmini` template, by laws fitted to syntheses of its RTL on NanGate45.

Scratchpad and accumulator are SRAM macros (`hardware.sram`) whose words and bits follow from the design. The area of
every other block, its small memories included, is a sum of terms, each growing with the knobs, with coefficients that
are not negative. `gemmini_area.json` holds them, the syntheses that they are fitted to, and the clock of each array as
OpenSTA finds it before layout; `armillary bench rtl-area-fit` makes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.hardware import sram
from armillary.types import ArmillaryError

Columns = Mapping[str, NDArray[Any]]
LAWS = Path(__file__).with_suffix(".json")
ANY = "any"
"""Instead of a dataflow, for blocks that are the same in each."""
_KIB = 1024
_UM2_PER_MM2 = 1e6
TERMS: Mapping[str, Callable[[Mapping[str, NDArray[np.float64]]], NDArray[np.float64]]] = {
    "1": lambda c: np.ones_like(c["dim"]),
    "dim": lambda c: c["dim"],
    "dim^2": lambda c: c["dim"] ** 2,
    "dim^2 log2(dim)": lambda c: c["dim"] ** 2 * np.log2(c["dim"]),
    "bus_bytes": lambda c: c["bus_bytes"],
    "outstanding": lambda c: c["outstanding"],
    "queue_depth": lambda c: c["queue_depth"],
    "queue_depth^2": lambda c: c["queue_depth"] ** 2,
    "scratchpad_banks": lambda c: c["scratchpad_banks"],
    "scratchpad_banks dim": lambda c: c["scratchpad_banks"] * c["dim"],
    "accumulator_banks": lambda c: c["accumulator_banks"],
    "accumulator_banks dim": lambda c: c["accumulator_banks"] * c["dim"],
    "log2(scratchpad_kib)": lambda c: np.log2(c["scratchpad_kib"]),
    "log2(accumulator_kib)": lambda c: np.log2(c["accumulator_kib"]),
    "log2(burst_rows)": lambda c: np.log2(c["burst_rows"]),
}
"""What a block's area may be made of, by columns of the space's values."""


def terms(columns: Columns) -> dict[str, NDArray[np.float64]]:
    """Return the terms of designs by name, each of shape [designs]."""
    numbers = {name: np.asarray(values, float) for name, values in columns.items() if name != "dataflow"}
    return {name: term(numbers) for name, term in TERMS.items()}


def area_mm2(columns: Columns) -> NDArray[np.float64]:
    """Return the areas of designs in mm2, shape [designs].

    Args:
        columns: the values of the space's parameters by name, each of shape [designs].
    """
    return np.asarray(sum(parts_mm2(columns).values()))


def parts_mm2(columns: Columns) -> dict[str, NDArray[np.float64]]:
    """Return the area of each part by name, each of shape [designs]: memories and blocks."""
    return {**memories_mm2(columns), **blocks_mm2(columns)}


def blocks_mm2(columns: Columns) -> dict[str, NDArray[np.float64]]:
    """Return the area of each block by name, without scratchpad and accumulator memories, each of shape [designs]."""
    return {block: um2_by(law, columns) / _UM2_PER_MM2 for block, law in _laws()["blocks"].items()}


def um2_by(law: Mapping[str, Mapping[str, float]], columns: Columns) -> NDArray[np.float64]:
    """Return a block's area by its law, um2, shape [designs].

    Args:
        law: coefficients by term, by dataflow or for any.
        columns: see `area_mm2`.

    Raises:
        ArmillaryError: if there is none for the dataflow of a design.
    """
    found, dataflow = terms(columns), np.asarray(columns["dataflow"])
    unknown = sorted(set(dataflow.tolist()) - set(law)) if ANY not in law else []
    if unknown:
        raise ArmillaryError(f"dataflow={unknown[0]!r} has no law of its area; there are laws of {sorted(law)}")
    um2 = np.zeros(len(dataflow))
    for kind, values in law.items():
        chosen = (kind == ANY) | (dataflow == kind)
        um2 += np.where(chosen, sum(value * found[name] for name, value in values.items()), 0.0)
    return um2


def memories_mm2(columns: Columns) -> dict[str, NDArray[np.float64]]:
    """Return the area of the memories of scratchpad and accumulator, each of shape [designs]."""
    dim = np.asarray(columns["dim"])
    areas = {}
    for memory, bits, ports in (("scratchpad", 8 * dim, 1), ("accumulator", 32 * dim, 2)):
        banks = np.asarray(columns[f"{memory}_banks"])
        rows = np.asarray(columns[f"{memory}_kib"]) * _KIB * 8 // bits
        areas[f"{memory} memory"] = banks * sram.area_um2(-(-rows // banks), bits, ports) / _UM2_PER_MM2
    return areas


def clock_ghz(dim: ArrayLike, dataflow: ArrayLike) -> NDArray[np.float64]:
    """Return the clock at which the slowest path of an array's size and dataflow is in time, shape [designs].

    Before layout, without wires; between the sizes that were synthesised by the logarithm of `dim`, beyond them as at
    the nearest.
    """
    sizes, kinds = np.log2(np.atleast_1d(np.asarray(dim, float))), np.atleast_1d(np.asarray(dataflow))
    found = np.zeros(len(sizes))
    for kind, periods in _laws()["period_ns"].items():
        at = np.log2([float(size) for size in periods])
        found = np.where(kinds == kind, 1.0 / np.interp(sizes, at, list(periods.values())), found)
    return found


@cache
def _laws() -> dict[str, Any]:
    laws: dict[str, Any] = json.loads(LAWS.read_text(encoding="utf-8"))
    return laws
