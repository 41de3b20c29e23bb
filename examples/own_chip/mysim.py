#!/usr/bin/env python3
"""A simulator as anybody might have one: Armillary knows nothing of it.

It answers one design on its standard input, as Armillary asks, or writes random runs as CSV:

    python mysim.py --sample 600 > runs.csv
"""

from __future__ import annotations

import csv
import json
import math
import random
import sys

CHOICES = {
    "pe_rows": [4, 8, 16, 32, 64],
    "pe_cols": [4, 8, 16, 32, 64],
    "buffer_kib": [16, 32, 64, 128, 256, 512],
    "bandwidth_gbps": [8, 16, 32, 64],
    "clock_mhz": [200, 400, 600, 800, 1000],
    "dataflow": ["ws", "os", "rs"],
    "double_buffer": [False, True],
}
NETWORKS = {"speech": (2.0e9, 9.0e6), "keyword": (2.0e8, 4.0e5)}  # multiply-accumulates, bytes of weights


def simulate(design: dict, network: str) -> dict:
    """Return what a run of the simulator finds; without a latency where the chip cannot be built or run."""
    macs, weights = NETWORKS[network]
    pes = design["pe_rows"] * design["pe_cols"]
    area = 0.2 + 0.0013 * pes + 0.0012 * design["buffer_kib"] * (2 if design["double_buffer"] else 1)
    if design["clock_mhz"] >= 800 and pes >= 2048:
        return {"area_mm2": round(area, 4), "status": "TIMING"}
    if design["buffer_kib"] * 1024 < weights / 200:
        return {"area_mm2": round(area, 4), "status": "BUFFER"}
    busy = {"ws": 0.75, "os": 0.65, "rs": 0.8}[design["dataflow"]] - 0.02 * math.log2(pes)
    compute_s = macs / pes / busy / design["clock_mhz"] / 1e6
    moved = weights * {"ws": 1.2, "os": 2.0, "rs": 1.5}[design["dataflow"]] * (1 + 40 / design["buffer_kib"])
    memory_s = moved / design["bandwidth_gbps"] / 1e9
    longer, shorter = max(compute_s, memory_s), min(compute_s, memory_s)
    latency_s = longer + shorter * (0.1 if design["double_buffer"] else 0.8)
    energy_j = macs * 0.7e-12 + moved * 6e-11 + latency_s * area * 0.05
    return {
        "latency_ms": round(1e3 * latency_s, 5),
        "energy_mj": round(1e3 * energy_j, 5),
        "area_mm2": round(area, 4),
        "status": "OK",
    }


def sample(runs: int) -> None:
    """Write random runs as CSV."""
    draw = random.Random(1)
    columns = [*CHOICES, "network", "latency_ms", "energy_mj", "area_mm2", "status"]
    sheet = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    sheet.writeheader()
    for _ in range(runs):
        design = {name: draw.choice(values) for name, values in CHOICES.items()}
        network = draw.choice(list(NETWORKS))
        sheet.writerow({**design, "network": network, **simulate(design, network)})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sample"]:
        sample(int(sys.argv[2]))
    else:
        asked = json.load(sys.stdin)
        print(json.dumps(simulate(asked["design"], asked["workload"]["name"])))
