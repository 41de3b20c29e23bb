"""The logical hierarchy graph of an architecture: a node per instance of a module, an edge from parent to child.

Its features need no synthesis: they are counted in the RTL behind elaboration, where parameters have their values. All
instances of a module in one parent have the same subtree, so that they are one node with a count here, and the edge has
that count as its weight. A graph convolution says of it what it says of the graph with a node for each (a test holds it
to that), at a cost that does not grow with the size of an array.

Source: Esmaeilzadeh et al., "An Open-Source ML-Based Full-Stack Optimization Framework for Machine Learning
Accelerators" (arXiv 2308.12120): logical hierarchy graph with features of the modules. The list of features is ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl import PLATFORMS, is_written, template_of
from armillary.hardware.rtl.platform import Platform
from armillary.spaces.space import Space
from armillary.temporary import temporary_folder
from armillary.tools.yosys import Outline, outlines, version
from armillary.types import ArmillaryError
from armillary.user_cache import cache_folder, is_stored, store

FEATURES = (
    "inputs", "input bits", "outputs", "output bits",
    "multiplications", "multiplication bits", "arithmetic operators", "arithmetic bits",
    "selections", "selection bits", "logic operators", "logic bits",
    "registers", "register bits", "memories", "memory bits", "instances", "level",
)  # fmt: skip
"""Of a node. A level is the number of modules above it; instances are those right below."""
_FORM = 1  # of kept graphs
_KINDS = ("multiplication", "arithmetic", "selection", "logic")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class HierarchyGraph:
    """The graph of one architecture; the first node is the top module.

    Attributes:
        features: as `FEATURES` names them, shape [nodes, features].
        parent: node that instantiates this one, -1 of the top module, shape [nodes].
        times: instances of this module in one of its parent, shape [nodes].
        instances: instances in the whole design, shape [nodes].
    """

    features: Floats
    parent: Integers
    times: Integers
    instances: Integers

    @property
    def totals(self) -> Floats:
        """The features summed over all instances, of `level` the deepest, shape [features]."""
        summed = self.instances @ self.features
        return np.append(summed[:-1], self.features[:, -1].max())

    def expanded(self) -> HierarchyGraph:
        """Return the graph with a node for each instance."""
        features, parents = [self.features[0]], [-1]
        open_ = [(0, 0)]
        while open_:
            folded, own = open_.pop()
            for child in np.flatnonzero(self.parent == folded):
                for _ in range(int(self.times[child])):
                    open_.append((int(child), len(features)))
                    features.append(self.features[child])
                    parents.append(own)
        once = np.ones(len(features), dtype=np.int64)
        return HierarchyGraph(np.stack(features), np.array(parents), once, once)


def graph_of(modules: Mapping[str, Outline], top: str) -> HierarchyGraph:
    """Return the graph of a design whose modules are outlined, by key."""
    features: list[list[float]] = []
    places: list[tuple[int, int, int]] = []  # parent, times, instances

    def add(key: str, parent: int, times: int, above: int, level: int) -> None:
        module = modules[key]
        own = len(features)
        features.append([*_counted(module), float(level)])
        places.append((parent, times, times * above))
        children = list(module.instances.values())
        for child in sorted(set(children)):
            add(child, own, children.count(child), times * above, level + 1)

    add(top, -1, 1, 1, 0)
    parent, times, instances = np.array(places, dtype=np.int64).T
    return HierarchyGraph(np.array(features), parent, times, instances)


def _counted(module: Outline) -> list[float]:
    """Return the features of a module but its level."""
    counted: list[float] = []
    for direction in ("input", "output"):
        bits = [bits for way, bits in module.ports if way == direction]
        counted += [len(bits), sum(bits)]
    for kind in _KINDS:
        counted += module.operators[kind]
    return [*counted, *module.registers, len(module.memories), sum(module.memories), len(module.instances)]


@dataclass(frozen=True)
class Architectures:
    """The designs of a space as architectures whose RTL a platform writes, and the rest as knobs of the back end.

    Attributes:
        space: of the designs.
        platform: whose accelerators they are.
        own: the parameters of a design that are the accelerator's, by place.
        knobs: the others, by place.
        known: graphs that were asked for, by the codes of the accelerator's parameters.
    """

    space: Space
    platform: Platform[Any]
    own: tuple[int, ...]
    knobs: tuple[int, ...]
    known: dict[tuple[int, ...], HierarchyGraph] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(space: Space) -> Architectures:
        """Return the architectures of a space that is named after a template, with or without knobs of the back end.

        Raises:
            ArmillaryError: if no platform writes the RTL of that template.
        """
        if not is_written(space.name):
            raise ArmillaryError(
                f"surrogates 'ppa-rtl' and 'ppa-gcn' ask for the RTL of designs, which space {space.name!r} has not; "
                f"spaces of {PLATFORMS.names()} have one, or choose --surrogate ppa"
            )
        platform = PLATFORMS.load(template_of(space.name), Platform)
        known = {each.name for each in fields(platform.accelerator)}
        own = tuple(place for place, name in enumerate(space.names) if name in known)
        return Architectures(space, platform, own, tuple(set(range(len(space.names))) - set(own)))

    def sources(self, codes: Integers) -> dict[str, str]:
        """Return the RTL of one design, by file name."""
        values = self.space.design(codes).as_dict()
        own = {self.space.names[place]: values[self.space.names[place]] for place in self.own}
        return self.platform.sources(self.platform.accelerator(**own))

    def hardware(self, codes: Integers) -> Integers:
        """Return the number of each design's hardware, shape [designs]; other parameters may mean the same RTL."""
        unique, which = np.unique(codes[:, self.own], axis=0, return_index=True, return_inverse=True)[1:]
        texts = ["".join(self.sources(codes[row]).values()) for row in unique]
        return np.asarray(np.unique(texts, return_inverse=True)[1][which.reshape(-1)], np.int64)

    def graphs(self, codes: Integers) -> tuple[list[HierarchyGraph], Integers]:
        """Return the graphs of all architectures among designs, and which each design has, shape [designs].

        A graph is kept in the user's cache.

        Raises:
            ArmillaryError: if Yosys is missing and a graph was not kept.
            SynthesisError: if it refuses the RTL.
        """
        rows, which = np.unique(codes[:, self.own], axis=0, return_index=True, return_inverse=True)[1:]
        keys = {tuple(key): row for key, row in zip(codes[rows][:, self.own].tolist(), rows, strict=True)}
        missing = [key for key in keys if key not in self.known]
        texts = [self.sources(codes[keys[key]]) for key in missing]
        found = graphs_of(texts, self.platform.top, cache_folder("hierarchies"))
        self.known.update(zip(missing, found, strict=True))
        return [self.known[key] for key in keys], which.reshape(-1)

    def totals(self, codes: Integers) -> Floats:
        """Return the sums over the graphs of designs, shape [designs, features]; raises what `graphs` does."""
        graphs, which = self.graphs(codes)
        return np.array([graph.totals for graph in graphs]).reshape(-1, len(FEATURES))[which]

    def described(self) -> Space:
        """Return the space with the logarithms of the graphs' totals among what it derives of designs."""
        own = self.space.derived

        def derived(codes: Integers, features: Mapping[str, Floats]) -> Floats:
            totals = np.log2(1 + self.totals(codes))
            return totals if own is None else np.concatenate([own(codes, features), totals], axis=1)

        return replace(self.space, derived=derived)


def graphs_of(designs: Sequence[Mapping[str, str]], top: str, cache: Path) -> list[HierarchyGraph]:
    """Return the graphs of designs, each the text of its modules by file name; `cache` keeps what was read before."""
    kept = [cache / f"{_digest(sources, top)}.json" for sources in designs]
    missing = {str(path): sources for path, sources in zip(kept, designs, strict=True) if not is_stored(path)}
    if missing:
        for path, modules in outlines(missing, top).items():
            _keep(graph_of(modules, top), Path(path))
    return [_kept(path) for path in kept]


def _digest(sources: Mapping[str, str], top: str) -> str:
    text = json.dumps([sources, top, version(), FEATURES, _FORM], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _keep(graph: HierarchyGraph, path: Path) -> None:
    with temporary_folder("hierarchy") as folder:
        made = folder / path.name
        made.write_text(json.dumps({name: array.tolist() for name, array in asdict(graph).items()}), encoding="utf-8")
        store(made, path)


def _kept(path: Path) -> HierarchyGraph:
    content = json.loads(path.read_text(encoding="utf-8"))
    features = np.array(content.pop("features"), dtype=float)
    return HierarchyGraph(features, **{name: np.array(value, dtype=np.int64) for name, value in content.items()})
