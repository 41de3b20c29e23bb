"""AccelForge (Andrulis, Gilbert et al. 2026, arXiv 2602.15172; `accelforge` on PyPI) on our hierarchies and layers.

Its mapper prunes the map-space without losing the optimum by its own model, which knows neither blocks of words nor
inputs that stay in the array. It needs Python 3.12.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations, product
from math import inf
from typing import Any

from armillary.hardware.hierarchy import TENSORS, Hierarchy, Level
from armillary.hardware.mapping import RELEVANT, Axis, Loop, loop_bounds
from armillary.hardware.technology import access_energy, mac_energy_pj
from armillary.mapping.goals import Goal
from armillary.mapping.peers.answer import PeerAnswer
from armillary.mapping.peers.translation import Nest, translated
from armillary.tools.command import Command
from armillary.tools.process import run
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

DISTRIBUTION = "accelforge"
PYTHON_VARIABLE = "ARMILLARY_ACCELFORGE_PYTHON"
INSTALL = (
    "python3.12 -m venv ~/accelforge && ~/accelforge/bin/pip install accelforge, and name that Python: "
    f"{PYTHON_VARIABLE}=~/accelforge/bin/python"
)
_METRICS: Mapping[Goal, str] = {"edp": "ENERGY_DELAY_PRODUCT", "delay": "LATENCY", "energy": "ENERGY"}
_EINSUM = "layer"
_PER_S = 1e9  # its clock; ours is in cycles, so that any will do
_JOULE = 1e-12
_DRIVER = """
import importlib.metadata, io, json, os, sys
from contextlib import redirect_stdout

given = json.load(sys.stdin)
with redirect_stdout(io.StringIO()):
    import accelforge as af
    from accelforge.mapper.FFM.main import join_pmappings, make_pmappings
    from accelforge.model.main import evaluate_mapping

    kinds = {"memory": af.arch.Memory, "compute": af.arch.Compute, "array": af.arch.Container}
    nodes = [kinds[node.pop("kind")](**node) for node in given["nodes"]]
    spec = af.Spec(arch=af.Arch(nodes=nodes), workload=given["workload"])
    spec.mapper.metrics = getattr(af.Metrics, given["metric"])
    spec.mapper.explore_imperfect_spatial_loops = given["imperfect"]
    partial = make_pmappings(spec, print_progress=False, print_number_of_pmappings=False)
    evaluated = partial.n_evaluated_pmappings()
    found = join_pmappings(partial, metrics=spec.mapper.metrics, print_progress=False)
    column = f"Total<SEP>{given['column']}"
    best = found.data[column].astype(float).argmin()
    mapping = found.data.iloc[best]["Total<SEP>mapping"]
    spec.mapping = mapping(_for_model=True)
    costs = evaluate_mapping(spec).data.iloc[0]
said = []
for node in mapping().nodes:
    kind = type(node).__name__
    if kind == "Storage":
        said.append({"holds": [str(t) for t in node.tensors], "at": str(node.component)})
    elif kind in ("Temporal", "Spatial"):
        loop = {"loop": str(node.rank_variable), "turns": int(node.calculated_n_iterations)}
        said.append({**loop, "axis": str(node.name)} if kind == "Spatial" else loop)
print(json.dumps({"delay_s": float(costs["Total<SEP>latency"]), "energy_j": float(costs["Total<SEP>energy"]),
                  "evaluated": int(evaluated), "nodes": said,
                  "version": importlib.metadata.version("accelforge")}))
"""
_COLUMNS: Mapping[Goal, str] = {"edp": "energy_delay_product", "delay": "latency", "energy": "energy"}


def told_as(hierarchy: Hierarchy) -> Iterator[Hierarchy]:
    """Yield the hierarchy itself: AccelForge chooses among the spatial dimensions that the rules allow."""
    yield hierarchy


def best_mapping(
    hierarchy: Hierarchy,
    layer: Layer,
    *,
    goal: Goal = "edp",
    python: str = sys.executable,
    time_limit_s: float = 600.0,
    imperfect: bool = True,
) -> PeerAnswer:
    """Let AccelForge look for the mapping that is best for a goal.

    Args:
        hierarchy: whose levels' rules name spatial dimensions at most, which is all that is told of them.
        layer: to be mapped.
        goal: by AccelForge's own model.
        python: the interpreter that AccelForge is installed for.
        time_limit_s: after which it is stopped; orders of memories that it has not been told by then are left out.
        imperfect: let it look at spatial loops that do not divide their dimension, too.

    Raises:
        ArmillaryError: if the layer has a tensor of one word, or there is no such interpreter.
        AccidentError: if a signal ended AccelForge.
    """
    runs: list[tuple[float, PeerAnswer]] = []
    left = time_limit_s
    for order in orders(hierarchy):
        runs.append(_run(hierarchy, order, layer, goal, python, left, imperfect))
        left -= runs[-1][1].seconds
        if left <= 0:
            break
    best = min(runs, key=lambda run: run[0])[1]
    answers = [answer for _, answer in runs]
    return replace(best, evaluated=sum(one.evaluated for one in answers), seconds=sum(one.seconds for one in answers))


def orders(hierarchy: Hierarchy) -> Iterator[Hierarchy]:
    """Yield the hierarchy with neighbours of as many instances in every order, large ones outside first.

    DRAM and fan-outs keep their place.

    AccelForge reads a tensor anew whenever a loop outside its memory turns, even one that does not index it, and nests
    memories as they are ordered: so the order decides which register file may hold its tensor for longest.
    """
    groups: list[list[Level]] = [[]]
    for level in hierarchy.levels[1:]:
        groups[-1].append(level)
        if level.fanout != (1, 1):
            groups.append([])
    by_size = [sorted(group, key=lambda level: -level.tile_words) for group in groups]
    for chosen in product(*map(permutations, by_size)):
        shuffled = [level for group in chosen for level in group]
        inner = (_in_place_of(old, new) for old, new in zip(hierarchy.levels[1:], shuffled, strict=True))
        yield hierarchy.model_copy(update={"levels": (hierarchy.levels[0], *inner)})


def _in_place_of(old: Level, new: Level) -> Level:
    stays = ("fanout", "rules", "multicast", "spatial_reduction")
    return new.model_copy(update={name: getattr(old, name) for name in stays})


def _run(
    hierarchy: Hierarchy,
    order: Hierarchy,
    layer: Layer,
    goal: Goal,
    python: str,
    time_limit_s: float,
    imperfect: bool,
) -> tuple[float, PeerAnswer]:
    """Return AccelForge's answer for one order of memories, and what its mapping is worth by our model."""
    given = {
        "nodes": nodes(order, layer),
        "workload": workload(layer),
        "metric": _METRICS[goal],
        "column": _COLUMNS[goal],
        "imperfect": imperfect,
    }
    ended = run(Command((python, "-c", _DRIVER), stdin=json.dumps(given), time_limit_s=time_limit_s), keep_failed=True)
    if not ended.ok:
        return inf, PeerAnswer.failed("AccelForge", f"{ended.failure}{ended.kept}", ended.seconds)
    said = json.loads(ended.text.strip().splitlines()[-1])
    program = f"AccelForge {said['version']}"
    delay_cycles, energy_pj = said["delay_s"] * _PER_S, said["energy_j"] / _JOULE
    answer = PeerAnswer(program, delay_cycles, energy_pj, said["evaluated"], ended.seconds)
    try:
        ours = translated(hierarchy, layer, nest(hierarchy, said["nodes"]), goal)
    except ArmillaryError as fault:
        return inf, replace(answer, failure=f"its mapping {fault}")
    return ours.value, replace(answer, mapping=ours.mapping, lost=ours.lost)


def nodes(hierarchy: Hierarchy, layer: Layer) -> list[dict[str, Any]]:
    """Return the hierarchy as AccelForge's nodes, the outermost first; a fan-out belongs to the node below it."""
    turning = _turning(layer)
    found: list[dict[str, Any]] = []
    for depth, level in enumerate(hierarchy.levels):
        number = len(hierarchy.levels) - 1 - depth
        found.append(_memory(hierarchy, depth))
        spatial = list(_spatial(level, number, turning))
        if spatial:
            found.append({"kind": "array", "name": f"below_{level.name}", "spatial": spatial})
    compute = [{"name": "compute", "energy": mac_energy_pj(hierarchy) * _JOULE, "throughput": _PER_S}]
    return [*found, {"kind": "compute", "name": "Compute", "actions": compute, **_NO_COST}]


_NO_COST = {"area": 0, "leak_power": 0}


def _memory(hierarchy: Hierarchy, depth: int) -> dict[str, Any]:
    level = hierarchy.levels[depth]
    energy = access_energy(hierarchy, level)
    shared = level.shared_bandwidth
    read, write = (shared, shared) if shared else (level.read_bandwidth, level.write_bandwidth)
    actions = [
        {"name": name, "energy": pj / level.block_words * _JOULE, "throughput": (rate or inf) * _PER_S}
        for name, pj, rate in (("read", energy.read_pj, read), ("write", energy.fill_pj, write))
    ]
    joins = "sum" if shared else "max"
    return {
        "kind": "memory",
        "name": level.name,
        "size": level.tile_words * level.word_bits,
        "bits_per_value": {"All": level.word_bits},
        "bits_per_action": level.word_bits,
        "tensors": {"keep": " | ".join(level.keeps) if depth else "All"},
        "actions": actions,
        "total_latency": f"{joins}(a.n_calls / a.throughput for a in actions)",
        **_NO_COST,
    }


def _spatial(level: Level, number: int, turning: str) -> Iterator[dict[str, Any]]:
    """Yield a level's fan-outs, leaving out those that no dimension of the layer may be unrolled over."""
    shared = [t for t, shares in zip(TENSORS, (level.multicast, level.multicast, level.spatial_reduction), strict=True)
              if shares]  # fmt: skip
    for axis, size, allowed in zip("XY", level.fanout, (level.rules.spatial_x, level.rules.spatial_y), strict=True):
        used = [d for d in turning if d in allowed]
        if size == 1 or not used:
            continue
        others = [d.lower() for d in turning if d not in used]
        bounds = [{"expression": " | ".join(others), "operator": "==", "value": 1}] if others else []
        reuse = " | ".join(shared) or "Nothing"
        yield {"name": f"{axis}{number}", "fanout": size, "may_reuse": reuse, "loop_bounds": bounds}


def workload(layer: Layer) -> dict[str, Any]:
    """Return the layer as AccelForge's workload of one Einsum, without the dimensions that do not turn.

    Raises:
        ArmillaryError: if a tensor has one word only, which no dimension indexes.
    """
    bounds, turning = loop_bounds(layer), _turning(layer)
    plain = {t: [d.lower() for d in turning if d in RELEVANT[t]] for t in TENSORS}
    missing = [t for t in TENSORS if not plain[t]]
    if missing:
        raise ArmillaryError(f"layer {layer.name}: AccelForge takes no tensor of one word, as {missing[0]} is")
    window = {"H": ("P", layer.stride_h, "R", layer.dilation_h), "V": ("Q", layer.stride_w, "S", layer.dilation_w)}
    inputs = {d: d.lower() for d in "NGC" if d in turning}
    for rank, (output, stride, tap, dilation) in window.items():
        terms = [f"{factor} * {d.lower()}" for d, factor in ((output, stride), (tap, dilation)) if d in turning]
        inputs |= {rank: " + ".join(terms)} if terms else {}
    return {
        "iteration_space_shape": {d.lower(): f"0 <= {d.lower()} < {bounds[d]}" for d in turning},
        "bits_per_value": {"All": 8},
        "einsums": [
            {
                "name": _EINSUM,
                "tensor_accesses": [
                    {"name": "W", "projection": plain["W"]},
                    {"name": "I", "projection": inputs},
                    {"name": "O", "projection": plain["O"], "output": True},
                ],
            }
        ],
    }


def _turning(layer: Layer) -> str:
    return "".join(d for d, bound in loop_bounds(layer).items() if bound > 1)


def nest(hierarchy: Hierarchy, said: list[dict[str, Any]]) -> Nest:
    """Return the loops of AccelForge's mapping: loops and what is held where, from outermost to innermost."""
    number = {level.name: place for place, level in enumerate(hierarchy.inner_first)}
    temporal = [node for node in said if "loop" in node and "axis" not in node]
    outermost = len(hierarchy.levels) - 1
    held: dict[tuple[int, str], int] = {}
    spatial: dict[int, list[Loop]] = {}
    inside = len(temporal)
    for node in said:
        if "holds" in node:
            level = number[node["at"]]
            held |= {(level, tensor): inside for tensor in node["holds"] if level != outermost}
        elif "axis" in node:
            axis: Axis = "X" if node["axis"][0] == "X" else "Y"
            loop = Loop(node["loop"].upper(), node["turns"], axis)
            spatial.setdefault(int(node["axis"][1:]), []).append(loop)
        else:
            inside -= 1
    return Nest(
        tuple((node["loop"].upper(), node["turns"]) for node in reversed(temporal)),
        held,
        {level: tuple(sorted(loops, key=lambda loop: loop.axis)) for level, loops in spatial.items()},
    )
