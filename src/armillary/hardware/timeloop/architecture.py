"""Timeloop architectures: a tree of containers (0.3) or a list of nodes (0.4) to a hierarchy and back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from armillary.hardware.hierarchy import Compute, Hierarchy, Level, LevelClass
from armillary.hardware.timeloop.document import TAG, Document, Version, dump
from armillary.types import ArmillaryError

_LABELS = ("version", "name", "class", "subclass", TAG)
# Of Accelergy and its plug-ins alone; they decide energies and areas, which come from its tables.
_ACCELERGY = (
    "technology", "datawidth", "latency", "n_rdwr_ports", "n_rd_ports", "n_wr_ports", "n_rdrw_ports", "n_banks",
    "nbanks", "n_bank", "type", "global_cycle_seconds", "cycle_time", "num_ports", "memory_width", "cacti_version",
    "addr_clk_gated", "data_clk_gated", "metadata_storage_width", "network-word-bits", "network_word_bits",
    "num_pipeline_stages", "depth_in_blocks", "action_latency_cycles",
)  # fmt: skip
_STORAGE = (
    "depth", "width", "word-bits", "word_bits", "block-size", "block_size", "cluster-size", "cluster_size", "entries",
    "sizeKB", "instances", "meshX", "meshY", "read_bandwidth", "write_bandwidth", "shared_bandwidth",
    "multiple-buffering", "multiple_buffering", *_ACCELERGY,
)  # fmt: skip
_COMPUTE = ("instances", "meshX", "meshY", "word-bits", "word_bits", "width", *_ACCELERGY)
_CLASSES: tuple[tuple[str, LevelClass], ...] = (
    ("dram", "dram"), ("regfile", "regfile"), ("register", "regfile"), ("_rf", "regfile"),
    ("sram", "sram"), ("smartbuffer", "sram"), ("storage", "sram"), ("buffer", "sram"),
)  # fmt: skip
_MACS = ("mac", "multiplier", "compute", "arithmetic")


@dataclass(frozen=True)
class _Part:
    """A component, the number of its instances on the whole chip, and how many of them lie along X."""

    place: str
    name: str
    kind: str
    attributes: Mapping[str, Any]
    instances: int
    along_x: int
    keeps: str = "WIO"


def load_architecture(path: Path) -> Hierarchy:
    """Read `architecture` of a file, version 0.3 or 0.4.

    Raises:
        ArmillaryError: names file, place and value of everything that is wrong or not modelled.
    """
    document = Document(path, "architecture")
    version = str(document.content.get("version", "0.3")) if isinstance(document.content, Mapping) else ""
    if version not in ("0.2", "0.3", "0.4"):
        document.fault("architecture.version", f"{version!r} is not read; 0.3 and 0.4 are")
    parts = list(_nodes(document) if version == "0.4" else _tree(document))
    storage = [part for part in parts if not _is_mac(part.kind)]
    units = [part for part in parts if _is_mac(part.kind)]
    if len(units) != 1 or (parts and parts[-1] is not units[0]):
        document.fault("architecture", f"needs one compute component, the innermost; has {[p.name for p in units]}")
    if not storage:
        document.fault("architecture", "has no storage")
    document.finish()
    levels = [
        _level(document, part, inner, outermost=i == 0)
        for i, (part, inner) in enumerate(zip(storage, [*storage[1:], units[0]], strict=True))
    ]
    bits = _first(units[0].attributes, "datawidth", "word-bits", "word_bits", "width", default=8)
    compute = Compute(name=units[0].name, bits=document.count(f"{units[0].place}.datawidth", bits))
    document.finish()
    return Hierarchy(name=path.stem, levels=tuple(level for level in levels if level), compute=compute)


def _tree(document: Document) -> Iterator[_Part]:
    """Yield the components of a version 0.3 tree, the outermost first."""
    content = document.known("architecture", document.content, (*_LABELS, "subtree", "local", "attributes"))
    children, place, count = content.get("subtree"), "architecture", 1
    yield from _local(document, content, place, count)
    while children:
        if not isinstance(children, list) or len(children) != 1:
            document.fault(f"{place}.subtree", "several branches are not modelled; a hierarchy is one chain")
            return
        place = f"{place}.subtree[0]"
        node = document.known(place, children[0], (*_LABELS, "attributes", "local", "subtree"))
        document.known(f"{place}.attributes", node.get("attributes"), (*_STORAGE, "technology"))
        count *= _times(str(node.get("name", "")))
        yield from _local(document, node, place, count)
        children = node.get("subtree")


def _local(document: Document, node: Mapping[str, Any], place: str, count: int) -> Iterator[_Part]:
    for i, component in enumerate(document.listed(f"{place}.local", node.get("local"))):
        where = f"{place}.local[{i}]"
        table = document.known(where, component, (*_LABELS, "attributes"))
        kind = str(table.get("class", ""))
        attributes = document.known(f"{where}.attributes", table.get("attributes"), _allowed(kind))
        name = str(table.get("name", ""))
        instances = count * _times(name)
        if "instances" in attributes:
            instances = document.count(f"{where}.attributes.instances", attributes["instances"])
        along_x = attributes.get("meshX", 0)
        yield _Part(where, _bare(name), kind, attributes, instances, document.count(f"{where}.meshX", along_x, least=0))


def _nodes(document: Document) -> Iterator[_Part]:
    """Yield the components of a version 0.4 list, the outermost first."""
    content = document.known("architecture", document.content, (*_LABELS, "nodes"))
    count = along_x = 1
    for place, node in _flat(document, content.get("nodes"), "architecture.nodes"):
        tag = node.get(TAG)
        if tag not in ("Container", "Component"):
            document.fault(place, f"!{tag} is not modelled; !Container, !Component and !Hierarchical are")
            continue
        allowed = (*_LABELS, "attributes", "spatial", "constraints", "required_actions", "enabled")
        table = document.known(place, node, allowed)
        mesh = document.known(f"{place}.spatial", table.get("spatial"), ("meshX", "meshY"))
        x, y = (document.count(f"{place}.spatial.{axis}", mesh.get(axis, 1)) for axis in ("meshX", "meshY"))
        count, along_x = count * x * y, along_x * x
        if tag == "Container":
            document.known(f"{place}.constraints", table.get("constraints"), ())
            continue
        kind = str(table.get("class", ""))
        attributes = document.known(f"{place}.attributes", table.get("attributes"), _allowed(kind))
        keeps = _kept(document, f"{place}.constraints", table.get("constraints"))
        yield _Part(place, _bare(str(table.get("name", ""))), kind, attributes, count, along_x, keeps)


def _flat(document: Document, nodes: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for i, node in enumerate(nodes if isinstance(nodes, list) else []):
        where = f"{place}[{i}]"
        if not isinstance(node, Mapping):
            document.fault(where, f"{node!r} is no node")
        elif node.get(TAG) == "Hierarchical":
            yield from _flat(document, node.get("nodes"), f"{where}.nodes")
        else:
            yield where, node


def _kept(document: Document, place: str, constraints: Any) -> str:
    table = document.known(place, constraints, ("dataspace",))
    spaces = document.known(f"{place}.dataspace", table.get("dataspace"), ("keep", "bypass"))
    names = {"Weights": "W", "Inputs": "I", "Outputs": "O"}
    document.names(f"{place}.dataspace.keep", spaces.get("keep"), names)
    bypassed = {names[n] for n in document.names(f"{place}.dataspace.bypass", spaces.get("bypass"), names)}
    return "".join(t for t in "WIO" if t not in bypassed) or "WIO"


def _is_mac(kind: str) -> bool:
    return any(word in kind.lower() for word in _MACS)


def _allowed(kind: str) -> tuple[str, ...]:
    return _COMPUTE if _is_mac(kind) else _STORAGE


def _times(name: str) -> int:
    match = re.search(r"\[(\d+)\.\.(\d+)\]$", name)
    return int(match[2]) - int(match[1]) + 1 if match else 1


def _bare(name: str) -> str:
    return name.split("[")[0]


def _first(table: Mapping[str, Any], *names: str, default: Any = None) -> Any:
    return next((table[name] for name in names if name in table), default)


def _level(document: Document, part: _Part, inner: _Part, *, outermost: bool) -> Level | None:
    kind = next((ours for word, ours in _CLASSES if word in part.kind.lower()), None)
    if kind is None:
        document.fault(f"{part.place}.class", f"{part.kind!r} is not modelled; known are {[w for w, _ in _CLASSES]}")
        return None
    given, place = part.attributes, f"{part.place}.attributes"
    word_bits = document.count(f"{place}.word-bits", _first(given, "word-bits", "word_bits", "datawidth", default=8))
    block = _first(given, "block-size", "block_size")
    if block is None:
        width = document.count(f"{place}.width", given.get("width", word_bits))
        cluster = document.count(f"{place}.cluster-size", _first(given, "cluster-size", "cluster_size", default=1))
        block = max(1, width // word_bits // cluster)
    fanout = inner.instances // part.instances
    if inner.instances % part.instances:
        document.fault(f"{inner.place}.instances", f"{inner.instances} do not split over {part.instances} {part.name}")
    read, write, shared = (
        _rate(document, f"{place}.{name}", given.get(name))
        for name in ("read_bandwidth", "write_bandwidth", "shared_bandwidth")
    )
    buffers = _first(given, "multiple-buffering", "multiple_buffering", default=1)
    content = {
        "name": part.name,
        "kind": kind,
        "keeps": "WIO" if outermost else part.keeps,
        "capacity_words": _capacity(document, part, word_bits) if kind != "dram" else None,
        "word_bits": word_bits,
        "block_words": document.count(f"{place}.block-size", block),
        "fanout": _mesh(part, inner, fanout),
        "buffers": document.count(f"{place}.multiple-buffering", buffers),
        "read_bandwidth": read,
        "write_bandwidth": write,
        "shared_bandwidth": shared,
    }
    if document.faults:
        return None
    try:
        return Level.model_validate(content)
    except ValidationError as faults:
        for fault in faults.errors():
            document.fault(f"{part.place}.{'.'.join(map(str, fault['loc']))}", f"{fault['input']!r}: {fault['msg']}")
        return None


def _rate(document: Document, place: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        document.fault(place, f"{value!r} is not allowed; it must be a positive number")
        return None
    return float(value)


def _capacity(document: Document, part: _Part, word_bits: int) -> int | None:
    given, place = part.attributes, f"{part.place}.attributes"
    if "entries" in given:
        return document.count(f"{place}.entries", given["entries"])
    if "sizeKB" in given:
        return document.count(f"{place}.sizeKB", given["sizeKB"]) * 1024 * 8 // word_bits
    if "depth" not in given:
        return None
    width = document.count(f"{place}.width", given.get("width", word_bits))
    return max(1, document.count(f"{place}.depth", given["depth"]) * width // word_bits)


def _mesh(part: _Part, inner: _Part, fanout: int) -> tuple[int, int]:
    """Return the fan-out in X and Y; without a meshX all of it lies along X, as in Timeloop."""
    if not inner.along_x:
        return fanout, 1
    x = max(1, inner.along_x // max(1, part.along_x))
    return (x, fanout // x) if fanout % x == 0 else (fanout, 1)


def architecture_yaml(hierarchy: Hierarchy, version: Version = "0.4") -> str:
    """Return the architecture file of a hierarchy.

    Raises:
        ArmillaryError: if a level has no multicast or no spatial reduction, which Timeloop always has, is part of
            another one's memory, or has bits of its own for weights, inputs, partial sums or outputs, which Timeloop
            never has.
    """
    if hierarchy.bits is not None:
        raise ArmillaryError(f"hierarchy {hierarchy.name}: Timeloop has no bits={str(hierarchy.bits)!r} by role")
    for level in hierarchy.levels:
        if not (level.multicast and level.spatial_reduction):
            raise ArmillaryError(f"level {level.name}: Timeloop has no way to switch off multicast or reduction")
        if level.part_of is not None:
            raise ArmillaryError(f"level {level.name}: Timeloop has no part_of={level.part_of!r}, no uneven tiles")
        if level.bits is not None:
            raise ArmillaryError(f"level {level.name}: Timeloop has no bits={str(level.bits)!r} by role")
    if version == "0.3":
        return dump({"architecture": {"version": 0.3, "subtree": [_as_tree(hierarchy)]}})
    lines = ["architecture:", "  version: 0.4", "  nodes:"]
    for tag, node in _as_nodes(hierarchy):
        body = dump(node).rstrip().splitlines()
        lines += [f"  - !{tag}", *(f"    {line}" for line in body)]
    return "\n".join(lines) + "\n"


def _as_tree(hierarchy: Hierarchy) -> dict[str, Any]:
    instances = hierarchy.instances()
    along_x = 1
    local = []
    for level, count in zip(hierarchy.levels, instances, strict=False):
        suffix = f"[0..{count - 1}]" if count > 1 else ""
        attributes = {**_attributes(level, "-"), "instances": count, "meshX": along_x}
        local.append({"name": level.name + suffix, "class": _class(level), "attributes": attributes})
        along_x *= level.fanout[0]
    suffix = f"[0..{instances[-1] - 1}]" if instances[-1] > 1 else ""
    unit = {"datawidth": hierarchy.compute.bits, "instances": instances[-1], "meshX": along_x}
    local.append({"name": hierarchy.compute.name + suffix, "class": "intmac", "attributes": unit})
    return {"name": hierarchy.name, "local": local}


def _as_nodes(hierarchy: Hierarchy) -> Iterator[tuple[str, dict[str, Any]]]:
    mesh = (1, 1)
    for level in hierarchy.levels:
        node: dict[str, Any] = {"name": level.name, "class": _class(level), "attributes": _attributes(level, "_")}
        if mesh != (1, 1):
            node["spatial"] = {"meshX": mesh[0], "meshY": mesh[1]}
        if level.keeps != "WIO":
            names = {"W": "Weights", "I": "Inputs", "O": "Outputs"}
            kept = [names[t] for t in "WIO" if t in level.keeps]
            node["constraints"] = {"dataspace": {"keep": kept, "bypass": [n for n in names.values() if n not in kept]}}
        yield "Component", node
        mesh = level.fanout
    unit: dict[str, Any] = {
        "name": hierarchy.compute.name, "class": "intmac", "attributes": {"datawidth": hierarchy.compute.bits},
    }  # fmt: skip
    if mesh != (1, 1):
        unit["spatial"] = {"meshX": mesh[0], "meshY": mesh[1]}
    yield "Component", unit


def _class(level: Level) -> str:
    return {"dram": "DRAM", "sram": "SRAM", "regfile": "regfile"}[level.kind]


def _attributes(level: Level, dash: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"word{dash}bits": level.word_bits, f"block{dash}size": level.block_words,
        "width": level.word_bits * level.block_words,
    }  # fmt: skip
    if level.capacity_words is not None:
        found["entries"] = level.capacity_words
    for name in ("read_bandwidth", "write_bandwidth", "shared_bandwidth"):
        if getattr(level, name) is not None:
            found[name] = getattr(level, name)
    if level.buffers > 1:
        found[f"multiple{dash}buffering"] = level.buffers
    return found
