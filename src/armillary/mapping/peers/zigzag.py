"""ZigZag (Mei et al., IEEE Transactions on Computers 2021; `zigzag-dse` on PyPI) on our hierarchies and layers."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import ceil, prod
from pathlib import Path
from typing import Any

from armillary.hardware.hierarchy import TENSORS, Hierarchy, Level
from armillary.hardware.mapping import Axis, Loop, loop_bounds
from armillary.hardware.technology import access_energy, level_area_mm2, mac_energy_pj
from armillary.mapping.goals import Goal
from armillary.mapping.peers.answer import PeerAnswer
from armillary.mapping.peers.interpreter import version_in
from armillary.mapping.peers.translation import Nest, translated
from armillary.tools.command import Command
from armillary.tools.process import run
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

DISTRIBUTION = "zigzag-dse"
PYTHON_VARIABLE = "ARMILLARY_ZIGZAG_PYTHON"
INSTALL = f"pip install 'armillary[zigzag]', or name a Python that has it in {PYTHON_VARIABLE}"
_OPERANDS = {"W": "I2", "I": "I1", "O": "O"}
_LOOPS = {"N": "B", "K": "K", "C": "C", "P": "OY", "Q": "OX", "R": "FY", "S": "FX", "G": "G"}
_EQUATION = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
_GOALS: Mapping[Goal, str] = {"edp": "EDP", "delay": "latency", "energy": "energy"}
_UNLIMITED_BITS = 1 << 34
_UNLIMITED_WORDS_PER_CYCLE = 1 << 10
_DRIVER = """
import importlib.metadata, io, json, sys
from contextlib import redirect_stdout
from zigzag.api import get_hardware_performance_zigzag
from zigzag.cost_model import cost_model

given = json.load(sys.stdin)
count = 0
plain = cost_model.CostModelEvaluation.__init__

def counting(self, *args, **kwargs):
    global count
    count += 1
    plain(self, *args, **kwargs)

cost_model.CostModelEvaluation.__init__ = counting
with redirect_stdout(io.StringIO()):
    energy, latency, found = get_hardware_performance_zigzag(
        workload="workload.yaml", accelerator="accelerator.yaml", mapping="mapping.yaml", opt=given["opt"],
        dump_folder="out", lpf_limit=given["lpf_limit"], loma_show_progress_bar=False,
    )
best = found[0][1][0][0]
loops = {
    str(operand): [[[str(d), int(factor)] for d, factor in level] for level in levels]
    for operand, levels in best.temporal_mapping.mapping_dic_origin.items()
}
spatial = {}
for levels in best.spatial_mapping.mapping_dict_origin.values():
    for d, factor in (loop for level in levels for loop in level):
        spatial[str(d)] = max(float(factor), spatial.get(str(d), 1.0))
print(json.dumps({"energy_pj": float(energy), "delay_cycles": float(latency), "evaluated": count,
                  "loops": loops, "spatial": spatial, "version": importlib.metadata.version("zigzag-dse")}))
"""


def installed() -> str | None:
    """Return ZigZag's version in this Python, None if it is not there."""
    return version_in(sys.executable, DISTRIBUTION)


def told_as(hierarchy: Hierarchy) -> Iterator[Hierarchy]:
    """Yield the hierarchy with one dimension per axis, as ZigZag needs it: in every way that the rules allow."""
    places = [
        (number, f"spatial_{axis}", getattr(level.rules, f"spatial_{axis}"))
        for number, level in enumerate(hierarchy.levels)
        for axis, size in zip("xy", level.fanout, strict=True)
        if size > 1
    ]
    for chosen in product(*(allowed for _, _, allowed in places)):
        if len(set(chosen)) < len(chosen):
            continue
        levels = list(hierarchy.levels)
        for (number, rule, _), dimension in zip(places, chosen, strict=True):
            rules = levels[number].rules.model_copy(update={rule: dimension})
            levels[number] = levels[number].model_copy(update={"rules": rules})
        yield hierarchy.model_copy(update={"levels": tuple(levels)})


def best_mapping(
    hierarchy: Hierarchy,
    layer: Layer,
    *,
    goal: Goal = "edp",
    python: str = sys.executable,
    time_limit_s: float = 600.0,
    lpf_limit: int = 6,
) -> PeerAnswer:
    """Let ZigZag look for the mapping that is best for a goal.

    Spatial dimensions are those that the hierarchy's rules fix, as ZigZag unrolls them before it searches.

    Args:
        hierarchy: whose fan-outs each have one dimension in their rules.
        layer: to be mapped.
        goal: by ZigZag's own model.
        python: the interpreter that ZigZag is installed for.
        time_limit_s: after which it is stopped.
        lpf_limit: ZigZag's setting of how finely loops are cut.

    Raises:
        ArmillaryError: if the hierarchy has what ZigZag cannot be told, or there is no such interpreter.
        AccidentError: if a signal ended ZigZag.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = {
            # JSON is YAML, and ZigZag opens these names only.
            Path("accelerator.yaml"): accelerator(hierarchy),
            Path("mapping.yaml"): mapping(hierarchy, layer),
            Path("workload.yaml"): workload(layer),
        }
        for path, content in given.items():
            (folder / path).write_text(json.dumps(content), encoding="utf-8")
        command = Command(
            (python, "-c", _DRIVER),
            stdin=json.dumps({"lpf_limit": lpf_limit, "opt": _GOALS[goal]}),
            folder=folder,
            inputs=tuple(given),
            time_limit_s=time_limit_s,
        )
        ended = run(command, keep_failed=True)
    if not ended.ok:
        return PeerAnswer.failed("ZigZag", f"{ended.failure}{ended.kept}", ended.seconds)
    said = json.loads(ended.text.strip().splitlines()[-1])
    program = f"ZigZag {said['version']}"
    answer = PeerAnswer(program, said["delay_cycles"], said["energy_pj"], said["evaluated"], ended.seconds)
    try:
        ours = translated(hierarchy, layer, nest(hierarchy, layer, said), goal)
    except ArmillaryError as fault:
        return replace(answer, failure=f"its mapping {fault}")
    return replace(answer, mapping=ours.mapping, lost=ours.lost)


def nest(hierarchy: Hierarchy, layer: Layer, said: Mapping[str, Any]) -> Nest:
    """Return the loops of ZigZag's answer.

    Args:
        hierarchy: that it was told.
        layer: likewise.
        said: `loops`, by operand and memory, the innermost first, and `spatial`, by dimension: how many instances are
            used on average.

    Raises:
        ArmillaryError: if the operands do not share one order of loops.
    """
    ours = {name: d for d, name in _LOOPS.items()}
    orders = {t: [(ours[d], factor) for level in said["loops"][t] for d, factor in level] for t in TENSORS}
    if len({tuple(order) for order in orders.values()}) > 1:
        raise ArmillaryError(f"has another order of loops for every operand: {orders}")
    held: dict[tuple[int, str], int] = {}
    for tensor in TENSORS:
        levels = [number for number, level in enumerate(hierarchy.inner_first[:-1]) if tensor in level.keeps]
        counts = [len(loops) for loops in said["loops"][tensor]]
        held |= {(level, tensor): sum(counts[: place + 1]) for place, level in enumerate(levels)}
    temporal = tuple(orders["W"])
    return Nest(temporal, held, _spatial(hierarchy, layer, temporal, said["spatial"]))


def _spatial(
    hierarchy: Hierarchy, layer: Layer, temporal: Sequence[tuple[str, int]], used: Mapping[str, float]
) -> dict[int, tuple[Loop, ...]]:
    """Return the spatial loops by level: as wide as told, or narrower where ZigZag's temporal loops tell so."""
    bounds = loop_bounds(layer)
    found: dict[int, tuple[Loop, ...]] = {}
    for level, axis, d, size in _fanouts(hierarchy):
        wide = min(size, bounds[d])
        rounds = prod(factor for other, factor in temporal if other == d)
        width = wide if rounds == ceil(bounds[d] / wide) else ceil(used.get(_LOOPS[d], 1.0))
        found[level] = (*found.get(level, ()), Loop(d, width, axis))
    return found


def accelerator(hierarchy: Hierarchy) -> dict[str, Any]:
    """Return the hierarchy as ZigZag's accelerator.

    Raises:
        ArmillaryError: if a fan-out has not exactly one dimension in its rules.
    """
    spread = list(_fanouts(hierarchy))
    inner_first = hierarchy.inner_first
    return {
        "name": hierarchy.name,
        "operational_array": {
            "unit_energy": mac_energy_pj(hierarchy),
            "unit_area": 0.0,
            "dimensions": [f"D{i + 1}" for i in range(len(spread))],
            "sizes": [size for _, _, _, size in spread],
        },
        "memories": {
            level.name: _memory(
                hierarchy,
                level,
                [f"D{i + 1}" for i, (below, _, _, _) in enumerate(spread) if below <= number],
                outermost=number + 1 == len(inner_first),
            )
            for number, level in enumerate(inner_first)
        },
    }


def _fanouts(hierarchy: Hierarchy) -> Iterator[tuple[int, Axis, str, int]]:
    """Yield level, axis, dimension and size of every fan-out, innermost first."""
    for number, level in enumerate(hierarchy.inner_first):
        axes: tuple[tuple[Axis, str], ...] = (("X", level.rules.spatial_x), ("Y", level.rules.spatial_y))
        for (axis, allowed), size in zip(axes, level.fanout, strict=True):
            if size == 1:
                continue
            if len(allowed) != 1:
                raise ArmillaryError(
                    f"{hierarchy.name}: level {level.name}: ZigZag unrolls one dimension per axis before it searches; "
                    f"rules.spatial_{axis.lower()} must name one, got {allowed!r}"
                )
            yield number, axis, allowed, size


def _memory(hierarchy: Hierarchy, level: Level, served: list[str], *, outermost: bool) -> dict[str, Any]:
    energy = access_energy(hierarchy, level)
    held = "WIO" if outermost else level.keeps
    rate = level.shared_bandwidth or level.read_bandwidth or _UNLIMITED_WORDS_PER_CYCLE
    bits = max(level.word_bits, int(rate * level.word_bits))
    words = bits / level.word_bits
    directions = {"W": ("fh", "tl"), "I": ("fh", "tl"), "O": ("fh", "tl", "fl", "th")}
    capacity = level.tile_words
    return {
        "size": int(min(capacity, _UNLIMITED_BITS) * level.word_bits),
        # Costs are per access of the port's full width.
        "r_cost": energy.read_pj / level.block_words * words,
        "w_cost": energy.fill_pj / level.block_words * words,
        "area": level_area_mm2(hierarchy, level),
        "latency": 1,
        "operands": [_OPERANDS[t] for t in "WIO" if t in held],
        "ports": [
            {
                "name": "rw_port_1",
                "type": "read_write",
                "bandwidth_min": level.word_bits,
                "bandwidth_max": bits,
                "allocation": [f"{_OPERANDS[t]}, {d}" for t in "WIO" if t in held for d in directions[t]],
            }
        ],
        "served_dimensions": served,
    }


def mapping(hierarchy: Hierarchy, layer: Layer) -> list[dict[str, Any]]:
    """Return what ZigZag is told of the mapping: the spatial loops, as wide as array and layer allow."""
    bounds = loop_bounds(layer)
    unrolled = {
        f"D{i + 1}": [f"{_LOOPS[d]}, {min(size, bounds[d])}"] for i, (_, _, d, size) in enumerate(_fanouts(hierarchy))
    }
    return [
        {
            "name": "default",
            "spatial_mapping": unrolled,
            "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
        }
    ]


def workload(layer: Layer) -> list[dict[str, Any]]:
    """Return the layer as ZigZag's workload of one."""
    bounds = loop_bounds(layer)
    return [
        {
            "id": 0,
            "name": layer.name,
            "operator_type": "Conv",
            "equation": _EQUATION,
            "dimension_relations": [
                f"iy={layer.stride_h}*oy+{layer.dilation_h}*fy",
                f"ix={layer.stride_w}*ox+{layer.dilation_w}*fx",
            ],
            "loop_dims": list(_LOOPS.values()),
            "loop_sizes": [bounds[d] for d in _LOOPS],
            "operand_precision": {"W": 8, "I": 8, "O": 32, "O_final": 8},
            "operand_source": {"W": 0, "I": 0},
        }
    ]
