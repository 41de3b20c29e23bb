"""Fuse: which layers of a network keep what is between them on the chip of a hierarchy, and what that saves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from armillary.cost_model.fused import home_of
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.evaluators.explanation import FusedCost
from armillary.evaluators.fusion import fused
from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.vector_unit import VectorUnit
from armillary.mapping.fused import FoundPair, search_pair
from armillary.mapping.goals import Goal
from armillary.mapping.judge import NoLegalMappingError
from armillary.studies.map_network import MappedLayer, OnProgress
from armillary.types import Design, LayerRun
from armillary.workloads.layer import Layer, Workload

BUDGET = 2_000
"""Mappings of each layer of a pair that are evaluated in each of the best tilings, as on `tpu_like`."""
_FREE = VectorUnit(
    lanes=math.inf,
    function_adds=0,
    function_multiplies=0,
    behind=frozenset(),
    buffer_values=math.inf,
    move_values=math.inf,
    resident_values=math.inf,
    dram_reads=math.inf,
    dram_writes=math.inf,
    dram_values=math.inf,
    setup_cycles=0.0,
    value_bytes=1.0,
)
"""A hierarchy says nothing of operators beside the array: they cost nothing, fused or apart."""


def fused_pairs(
    hierarchy: Hierarchy,
    workload: Workload,
    layers: Sequence[MappedLayer],
    *,
    goal: Goal,
    seed: int,
    on_progress: OnProgress,
    budget: int = BUDGET,
) -> tuple[FusedCost, ...]:
    """Return the pairs of layers that are better fused than apart, with what each saves in an inference.

    None is where no level on the chip keeps both inputs and outputs, or a layer has no mapping. Fused layers have even
    tiles at every level.

    Args:
        hierarchy: on which.
        workload: with its pairs.
        layers: its layers with the mappings that each has by itself.
        goal: by which the two are compared, and their mappings searched.
        seed: of the searches.
        on_progress: called with pairs looked at and in total.
        budget: mappings of each layer of a pair in each of the best tilings.
    """
    even = hierarchy.even()
    if home_of(even) is None or not workload.pairs:
        return ()
    names = [(workload.layers[pair.producer].layer, workload.layers[pair.consumer].layer) for pair in workload.pairs]
    shapes = {tuple(replace(layer, name="") for layer in pair) for pair in names}
    done = 0

    @cache
    def find(producer: Layer, consumer: Layer) -> FoundPair | None:
        nonlocal done
        on_progress("pairs of layers", done, len(shapes))
        done += 1
        try:
            return search_pair(even, producer, consumer, goal=goal, budget=budget, seed=seed)
        except NoLegalMappingError:
            return None

    def search(producer: Layer, consumer: Layer) -> FoundPair | None:
        return find(replace(producer, name=""), replace(consumer, name=""))

    found = fused(workload, [_run(hierarchy, layer) for layer in layers], _FREE, goal, search)
    on_progress("pairs of layers", len(shapes), len(shapes))
    return tuple(one.cost() for one in found.pairs)


def _run(hierarchy: Hierarchy, layer: MappedLayer) -> LayerRun:
    """Return a layer as it runs by itself."""
    design, use = Design(hierarchy.name, ()), layer.use
    if layer.costs is None:
        return LayerRun(design, use.layer, "", {}, layer.failure, use.count)
    metrics = layer_metrics(layer.costs, 0, hierarchy)
    return LayerRun(design, use.layer, str(layer.mapping), metrics, layer.failure, use.count)
