"""A stand-in for the ring's simulator: the arithmetic of a moment, with the manners of a real tool.

It crashes on some designs, and the machine kills it at times. Two environment variables are for the tests:
`RING_REPAIRED=1` stands for a later release without the crash, `RING_TRIES=FOLDER` has the first try of some designs
killed and counts the tries in files of that folder.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from armillary.workloads.layer import Layer, Workload

SPEED = {"low_leakage": 0.7, "standard": 1.0, "fast": 1.25}
LEAK = {"low_leakage": 0.3, "standard": 1.0, "fast": 3.0}


class KilledError(Exception):
    """The machine ended the simulator."""


@dataclass(frozen=True)
class Ring:
    """A design as the simulator takes it."""

    stations: int
    lanes: int
    buffer_bytes: int
    link_bytes: int
    cells: str

    @property
    def leakage_mw(self) -> float:
        """Static power of all stations."""
        return self.stations * LEAK[self.cells] * (0.02 * self.lanes + 0.02 * self.buffer_bytes / 1024)

    def needed_bytes(self, layer: Layer) -> int:
        """What a station's buffer has to hold: a filter for each of its lanes."""
        return self.lanes * layer.channels_per_group * layer.R * layer.S


@dataclass(frozen=True)
class Report:
    """What a simulation ends with: the metrics, or the layer that does not fit and the bytes that it needs."""

    runtime_s: float = math.nan
    energy_pj: float = math.nan
    too_large: str = ""
    needed_bytes: int = 0


def simulate(ring: Ring, workload: Workload, clock_mhz: int) -> Report:
    """Return the report of one inference."""
    _break_as_tools_do(ring)
    largest = max((use.layer for use in workload.layers), key=ring.needed_bytes)
    if ring.needed_bytes(largest) > ring.buffer_bytes:
        return Report(too_large=largest.name, needed_bytes=ring.needed_bytes(largest))
    cycles = energy_pj = 0.0
    for use in workload.layers:
        layer = use.layer
        rounds = math.ceil(layer.K / (ring.stations * ring.lanes))
        computing = rounds * layer.N * layer.P * layer.Q * layer.channels_per_group * layer.R * layer.S
        moved_bytes = layer.weights + layer.inputs + layer.outputs
        cycles += use.count * max(computing, moved_bytes / ring.link_bytes + ring.stations)
        energy_pj += use.count * (0.4 * layer.macs + 0.6 * moved_bytes * math.sqrt(ring.stations))
    runtime_s = cycles / (1e6 * clock_mhz * SPEED[ring.cells])
    return Report(runtime_s, energy_pj + 1e9 * ring.leakage_mw * runtime_s)


def _break_as_tools_do(ring: Ring) -> None:
    if ring.link_bytes == 64 and ring.stations % 3 == 0 and os.environ.get("RING_REPAIRED") != "1":
        raise RuntimeError(f"router: credit counter of {ring.stations} stations overflows")
    folder = os.environ.get("RING_TRIES")
    if folder is not None and ring.link_bytes == 32 and ring.stations == 24:
        tries = Path(folder) / f"{ring.lanes}-{ring.buffer_bytes}-{ring.cells}"
        tries.write_text((tries.read_text() if tries.exists() else "") + "x")
        if tries.read_text() == "x":
            raise KilledError("the simulator was ended by SIGKILL")
