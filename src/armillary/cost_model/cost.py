"""Delay, energy and accesses of mappings: one tensor function over a batch.

The answers are Timeloop's (Parashar et al., ISPASS 2019); what crosses each boundary is worked out
in `traffic` and `sliding`, and this module turns it into accesses, cycles and energy. Nothing here
looks at single candidates, and all of it is differentiable with respect to the factors, apart from
the rounding of accesses to whole blocks and of cycles, which `relaxed` leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from armillary.cost_model.batch import (
    HierarchyBatch,
    LayerBatch,
    MappingBatch,
    RemainderBatch,
    encode,
    pick,
)
from armillary.cost_model.memories import bandwidth_cycles, rounded_up, with_parts
from armillary.cost_model.remainders import RemainderNest
from armillary.cost_model.sliding import all_alike, may_share, shared_inputs
from armillary.cost_model.traffic import INPUTS, OUTPUTS, WEIGHTS, Nest, Row, delivered, product
from armillary.cost_model.widths import final_updates, in_words, widths, with_layer_macs
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy
from armillary.hardware.mapping import Mapping
from armillary.types import ArmillaryError, Failure
from armillary.workloads.layer import Layer

_RELAXED_TURNING = 1.3
_LOOKED_AT = 65_536


@dataclass(frozen=True)
class Costs:
    """What a batch of mappings costs; the last axis is the candidate, levels are innermost first.

    Attributes:
        delay_cycles: the largest of the compute and bandwidth bounds, shape [n].
        compute_cycles: steps of the compute units, shape [n].
        bandwidth_cycles: what each level's bandwidth allows, shape [levels, n]. A level with an inner part counts what
            that moves, too, here and below.
        energy_pj: all accesses and multiply-accumulates, shape [n].
        access_energy_pj: of all instances of a level, shape [levels, tensors, n].
        mac_energy_pj: shape [n].
        area_mm2: of the hierarchy, shape [n].
        accesses: elements read, filled and updated per used instance, shape [levels, tensors, 3, n].
        words_moved: the same in words of the level, which elements of each role take by their bits.
        instances: used, shape [levels, n].
        tile_elements: of each tensor held in one instance, shape [levels, tensors, n]; 0 if bypassed.
        tile_words: the same in words of the level.
        macs: multiply-accumulates, shape [n].
        utilization: share of all compute units that work, on average over the delay, shape [n].
        over_capacity: words that an instance's tiles exceed it by, 0 or less where they fit, [levels, n].
        over_fanout: instances unrolled beyond the mesh, likewise, shape [levels, axes, n].
        over_bound: product of a dimension's factors minus the layer's bound, shape [dimensions, n].
        over_keeps: tensors kept where they cannot be, or missing at the outermost or at all, [levels, tensors, n].
        feasible: whether nothing is exceeded, bool, shape [n].
    """

    delay_cycles: Tensor
    compute_cycles: Tensor
    bandwidth_cycles: Tensor
    energy_pj: Tensor
    access_energy_pj: Tensor
    mac_energy_pj: Tensor
    area_mm2: Tensor
    accesses: Tensor
    words_moved: Tensor
    instances: Tensor
    tile_elements: Tensor
    tile_words: Tensor
    macs: Tensor
    utilization: Tensor
    over_capacity: Tensor
    over_fanout: Tensor
    over_bound: Tensor
    over_keeps: Tensor
    feasible: Tensor

    def __len__(self) -> int:
        return int(self.feasible.shape[-1])

    def failure(self, candidate: int, hierarchy: Hierarchy) -> Failure | None:
        """Return why a candidate is infeasible, innermost level first, None if it is feasible."""
        if self.feasible[candidate]:
            return None
        for dimension, over in zip(DIMENSIONS, self.over_bound[:, candidate].tolist(), strict=True):
            if over:
                return Failure(
                    "infeasible", detail=f"the factors of {dimension} miss the layer's bound by {over:+,.0f}"
                )
        for number, level in enumerate(hierarchy.inner_first):
            for tensor, wrong in zip(TENSORS, self.over_keeps[number, :, candidate].tolist(), strict=True):
                if wrong:
                    return Failure("infeasible", detail=f"level {level.name} cannot keep or must keep {tensor}")
            for axis, over in zip("XY", self.over_fanout[number, :, candidate].tolist(), strict=True):
                if over > 0:
                    has = float(level.fanout["XY".index(axis)])
                    return Failure(
                        "infeasible", f"{level.name}.fanout_{axis.lower()}", needed=has + over, available=has
                    )
            if self.over_capacity[number, candidate] > 0 and level.part_of is None:
                parts = [n for n, part in enumerate(hierarchy.inner_first) if part.memory == level.name]
                words = self.tile_words[parts, :, candidate].sum(dim=0)
                largest = TENSORS[int(words.argmax())]
                return Failure(
                    "infeasible",
                    f"{level.name}.capacity_words",
                    needed=float(words.sum()),
                    available=level.tile_words,
                    detail=f"the largest tile is that of {largest}, {float(words.max()):,.0f} words",
                )
        raise AssertionError("an infeasible candidate exceeds something")


def evaluate(
    hierarchies: Hierarchy | Sequence[Hierarchy] | HierarchyBatch,
    layers: Layer | Sequence[Layer] | LayerBatch,
    mappings: Mapping | Sequence[Mapping] | MappingBatch,
    *,
    count_first_fill: bool = False,
    relaxed: bool = False,
) -> Costs:
    """Return what mappings of layers onto hierarchies cost.

    Args:
        hierarchies: one for all candidates, or one each; all of one number of levels.
        layers: one for all candidates, or one each.
        mappings: one per candidate.
        count_first_fill: count the first fill of a buffer with partial sums that are still zero, as
            Timeloop did before version 3; later ones leave it out.
        relaxed: do without rounding, so that costs are differentiable in real factors; a factor below
            1.3 then counts as a loop that does not turn, and windows that instances share in part are
            counted once per instance.

    Raises:
        ArmillaryError: if hierarchies or mappings differ in their number of levels, or their numbers
            differ, or mappings with imperfect factors are to be relaxed.
    """
    return batch_costs(*encode(hierarchies, layers, mappings), count_first_fill=count_first_fill, relaxed=relaxed)


def batch_costs(
    hierarchies: HierarchyBatch,
    layers: LayerBatch,
    mappings: MappingBatch,
    *,
    count_first_fill: bool = False,
    relaxed: bool = False,
) -> Costs:
    """Return the costs of candidates given as tensors; see `evaluate`."""
    hierarchies = with_layer_macs(hierarchies, layers)
    if isinstance(mappings, RemainderBatch):
        if relaxed:
            raise ArmillaryError("mappings with imperfect factors have no relaxed costs; leave out `relaxed`")
        return _some_imperfect(hierarchies, layers, mappings, count_first_fill)
    nest = Nest.of(layers, mappings, turning=_RELAXED_TURNING if relaxed else 1.0)
    delivery = _delivery(nest, hierarchies, mappings)
    if not relaxed:
        delivery = _with_shared_windows(nest, hierarchies, mappings, delivery)
    return _nest_totals(nest, hierarchies, layers, mappings, delivery, count_first_fill, relaxed).costs()


def _some_imperfect(
    hierarchies: HierarchyBatch, layers: LayerBatch, mappings: RemainderBatch, count_first_fill: bool
) -> Costs:
    """Return the costs of a batch in which some mappings have imperfect factors, each kind by its own rules."""
    n = max(len(hierarchies), len(layers), len(mappings))
    imperfect = mappings.imperfect.expand(n)
    found: list[tuple[Tensor, Costs]] = []
    for kind, of in ((imperfect, _with_remainders), (~imperfect, _without_remainders)):
        where = torch.nonzero(kind).flatten()
        if len(where):
            part = hierarchies.select(where), layers.select(where), mappings.select(where)
            found.append((where, of(*part, count_first_fill)))
    joined = {}
    for field in fields(Costs):
        parts = [(where, getattr(costs, field.name)) for where, costs in found]
        whole = parts[0][1].new_empty((*parts[0][1].shape[:-1], n))
        for where, part in parts:
            whole[..., where] = part
        joined[field.name] = whole
    return Costs(**joined)


def _without_remainders(
    hierarchies: HierarchyBatch, layers: LayerBatch, mappings: RemainderBatch, count_first_fill: bool
) -> Costs:
    return batch_costs(hierarchies, layers, mappings.perfect(), count_first_fill=count_first_fill)


def _with_remainders(
    hierarchies: HierarchyBatch, layers: LayerBatch, mappings: RemainderBatch, count_first_fill: bool
) -> Costs:
    nest = RemainderNest.of(layers, mappings)
    words, instances = nest.count(hierarchies, mappings), nest.instances

    def each(row: Row, level: int) -> Row:
        return tuple(all_of_them / instances[level] for all_of_them in row)

    levels = range(nest.levels)
    own = tuple(words.own_outputs[i] / instances[i] for i in levels)
    accesses = _held_accesses(
        mappings,
        load=[each(words.load[i], i) for i in levels],
        arriving=[each(words.arriving[i], i) for i in levels],
        own=own,
        count_first_fill=count_first_fill,
    )
    return _totals(
        hierarchies,
        layers,
        mappings,
        accesses,
        work=_Work(
            steps=nest.cycles,
            macs=nest.bounds.prod(dim=0),
            instances=instances,
            own_outputs=own,
            tile=[nest.words(nest.tile(i)) for i in levels],
            unrolled=[tuple(nest.spatial[i]) for i in levels],
            over_bound=tuple(nest.bounds - layers.bounds),
        ),
        relaxed=False,
    ).costs()


@dataclass(frozen=True)
class Summary:
    """The little that a search looks at, each of shape [n].

    `exact` is False where instances may share input windows in ways that only `batch_costs` sees.
    """

    delay_cycles: Tensor
    energy_pj: Tensor
    feasible: Tensor
    exact: Tensor


def summary(hierarchies: HierarchyBatch, layers: LayerBatch, mappings: MappingBatch) -> Summary:
    """Return delay, energy and feasibility without looking at single instances.

    Nothing in here depends on values, so that `torch.compile` makes one kernel of it; hierarchies are those
    that `with_layer_macs` returns.
    """
    nest = Nest.of(layers, mappings)
    totals = _nest_totals(nest, hierarchies, layers, mappings, _delivery(nest, hierarchies, mappings), False, False)
    shared = [may_share(nest, level) & (hierarchies.multicast[level] > 0) for level in range(len(nest.spatial))]
    return Summary(totals.delay, totals.energy, totals.feasible, ~reduce(torch.logical_or, shared))


@dataclass(frozen=True)
class _Totals:
    """Costs as rows: everything is a tensor [n], in lists over levels, tensors and kinds of access."""

    work: _Work
    accesses: list[tuple[Row, ...]]
    words_moved: list[tuple[Row, ...]]
    access_energy: list[Row]
    mac_energy: Tensor
    cycles: list[Tensor]
    tile_elements: list[Row]
    tile_words: list[Row]
    over_capacity: list[Tensor]
    over_fanout: list[Row]
    over_keeps: list[Row]
    peak: Tensor
    area: Tensor

    @property
    def delay(self) -> Tensor:
        return reduce(torch.maximum, [self.work.steps, *self.cycles])

    @property
    def energy(self) -> Tensor:
        return reduce(torch.add, [pj for row in self.access_energy for pj in row]) + self.mac_energy

    @property
    def feasible(self) -> Tensor:
        wrong = [over > 0 for over in self.over_capacity]
        wrong += [over > 0 for row in self.over_fanout for over in row]
        wrong += [over != 0 for over in self.work.over_bound]
        wrong += [over for row in self.over_keeps for over in row]
        return ~reduce(torch.logical_or, wrong)

    def costs(self) -> Costs:
        """Return the rows stacked."""

        def stack(rows: object) -> Tensor:
            return torch.stack([row if isinstance(row, Tensor) else stack(row) for row in rows])  # type: ignore[attr-defined]

        delay, macs = self.delay, self.work.macs
        return Costs(
            delay_cycles=delay,
            compute_cycles=self.work.steps,
            bandwidth_cycles=stack(self.cycles),
            energy_pj=self.energy,
            access_energy_pj=stack(self.access_energy),
            mac_energy_pj=self.mac_energy,
            area_mm2=self.area.expand_as(delay),
            accesses=stack(self.accesses),
            words_moved=stack(self.words_moved),
            instances=stack(self.work.instances),
            tile_elements=stack(self.tile_elements),
            tile_words=stack(self.tile_words),
            macs=macs,
            utilization=macs / (delay * self.peak),
            over_capacity=stack(self.over_capacity),
            over_fanout=stack(self.over_fanout),
            over_bound=stack(self.work.over_bound),
            over_keeps=stack(self.over_keeps),
            feasible=self.feasible,
        )


def _nest_totals(
    nest: Nest,
    hierarchies: HierarchyBatch,
    layers: LayerBatch,
    mappings: MappingBatch,
    delivery: _Delivery,
    count_first_fill: bool,
    relaxed: bool,
) -> _Totals:
    instances = _instances(nest)
    work = _Work(
        steps=nest.above[0],
        macs=nest.above[0] * instances[0] * nest.fanout(0),
        instances=instances,
        own_outputs=_own_outputs(nest),
        tile=[nest.words(tile) for tile in nest.tile],
        unrolled=nest.spatial,
        over_bound=tuple(extent - bound for extent, bound in zip(nest.tile[-1], layers.bounds, strict=True)),
    )
    accesses = _accesses(nest, mappings, delivery, work, count_first_fill, relaxed)
    return _totals(hierarchies, layers, mappings, accesses, work, relaxed)


@dataclass(frozen=True)
class _Work:
    """What follows from the loops alone.

    Attributes:
        steps: of the compute units, shape [n].
        macs: multiply-accumulates, shape [n].
        instances: used, one tensor [n] per level.
        own_outputs: outputs that one instance is in charge of, likewise.
        tile: elements of W, I and O in a level's tile, likewise.
        unrolled: spatial factors, one tensor [n] per level and dimension.
        over_bound: extent minus bound, one tensor [n] per dimension.
    """

    steps: Tensor
    macs: Tensor
    instances: Row
    own_outputs: Row
    tile: Sequence[Row]
    unrolled: Sequence[Row]
    over_bound: Row


def _totals(
    hierarchies: HierarchyBatch,
    layers: LayerBatch,
    mappings: MappingBatch,
    accesses: list[tuple[Row, ...]],
    work: _Work,
    relaxed: bool,
) -> _Totals:
    instances, fanout = work.instances, hierarchies.fanout
    tiles = [
        tuple(torch.where(kept, words, 0.0) for kept, words in zip(row, tile, strict=True))
        for row, tile in zip(mappings.keeps, work.tile, strict=True)
    ]
    levels = range(len(tiles))
    turning = _RELAXED_TURNING if relaxed else 1.0
    final = final_updates(work.own_outputs, work.unrolled, mappings.keeps, turning)
    words, held = in_words(widths(hierarchies, layers), accesses, tiles, final, turning)
    filled = with_parts([reduce(torch.add, row) for row in held], hierarchies)
    return _Totals(
        work=work,
        accesses=accesses,
        words_moved=words,
        access_energy=[_access_energy(words[i], instances[i], hierarchies, i, relaxed) for i in levels],
        mac_energy=work.macs * hierarchies.mac_pj,
        cycles=bandwidth_cycles(words, hierarchies, relaxed),
        tile_elements=tiles,
        tile_words=held,
        over_capacity=[filled[i] - hierarchies.capacity[i] for i in levels],
        over_fanout=[
            tuple(a - b for a, b in zip(_across(work.unrolled[i], mappings.along_y[i]), fanout[i], strict=True))
            for i in levels
        ],
        over_keeps=[_over_keeps(hierarchies, mappings, work.steps, i) for i in levels],
        peak=product([fanout[i, axis] for i in levels for axis in (0, 1)]),
        area=hierarchies.area_mm2,
    )


@dataclass(frozen=True)
class _Delivery:
    """What each level hands to the instances below it, per used instance of its own.

    Attributes:
        read: words read for them, per level and tensor.
        units: by how much reads grow when the load of a bypassed level below falls on this one, likewise.
        arriving: words that one instance below gets from here, likewise.
        linked: input words that the instances below get from each other, per level.
    """

    read: list[Row]
    units: list[Row]
    arriving: list[Row]
    linked: list[Tensor]


def _delivery(nest: Nest, hierarchies: HierarchyBatch, mappings: MappingBatch) -> _Delivery:
    """Return the deliveries; where `may_share` says so, they are not exact."""
    words = [nest.words(inner) for inner in nest.inner]
    came = delivered(nest, words)
    read: list[Row] = []
    units: list[Row] = []
    arriving: list[Row] = []
    linked: list[Tensor] = []
    for level, (weights, inputs, outputs) in enumerate(came.words):
        multicast = hierarchies.multicast[level] > 0
        fanout = nest.fanout(level)
        passed = torch.where(multicast & all_alike(nest, level), came.unmoved[level], 0.0)
        came_down = (weights, inputs - passed, outputs)
        shares = (multicast, multicast, hierarchies.reduction[level] > 0)
        apart = tuple(
            torch.where(share, nest.units(tensor, level), fanout) for share, tensor in zip(shares, TENSORS, strict=True)
        )
        held = mappings.keeps[level - 1, INPUTS] if level else torch.zeros_like(multicast)
        read.append(tuple(map(torch.mul, came_down, apart)))
        units.append(apart)
        arriving.append(came_down)
        linked.append(torch.where(held, passed * fanout, 0.0))
    return _Delivery(read, units, arriving, linked)


def _with_shared_windows(
    nest: Nest, hierarchies: HierarchyBatch, mappings: MappingBatch, plain: _Delivery
) -> _Delivery:
    """Put exact input reads in where instances share windows.

    Mappings that unroll far more instances than there are stay as they are: they are illegal, and
    to look at each of a billion instances would only take the memory.
    """
    for level, inner in enumerate(nest.inner):
        most = torch.clamp(product(hierarchies.fanout[level].unbind()), min=_LOOKED_AT)
        shares = may_share(nest, level) & (hierarchies.multicast[level] > 0) & (nest.fanout(level) <= most)
        where = torch.nonzero(shares).flatten()
        if not len(where):
            continue
        found = shared_inputs(
            nest.select(where),
            pick(nest.words(inner)[INPUTS], where),
            level,
            pick(mappings.along_y[level], where),
            pick(mappings.spatial_place[level], where),
            pick(hierarchies.fanout[level, 0], where),
        )
        fanout = nest.fanout(level)[where]
        nobody = torch.zeros_like(found.linked, dtype=torch.bool)
        held = pick(mappings.keeps[level - 1, INPUTS], where) if level else nobody
        for rows, new in (
            (plain.read, found.read),
            (plain.units, fanout * found.read / found.received),
            (plain.arriving, found.received / fanout),
        ):
            weights, inputs, outputs = rows[level]
            rows[level] = (weights, inputs.index_put((where,), new), outputs)
        plain.linked[level] = plain.linked[level].index_put((where,), torch.where(held, found.linked, 0.0))
    return plain


def _accesses(
    nest: Nest, mappings: MappingBatch, delivery: _Delivery, work: _Work, count_first_fill: bool, relaxed: bool
) -> list[tuple[Row, ...]]:
    """Return elements read, filled and updated per used instance: per level and tensor, one tensor [n] each."""
    nothing = torch.zeros_like(nest.above[0])
    loads: list[Row] = []
    arrivals: list[Row] = []
    load = delivery.read[0]
    for level in range(len(mappings.keeps)):
        if level:
            load = tuple(
                torch.where(kept, read, before * units)
                for kept, read, before, units in zip(
                    mappings.keeps[level - 1], delivery.read[level], load, delivery.units[level], strict=True
                )
            )
        outermost = level + 1 == len(mappings.keeps)
        arriving = (nothing,) * 3 if outermost else delivery.arriving[level + 1]
        # Timeloop spreads what comes over links evenly and then rounds.
        peers = nothing if outermost else delivery.linked[level + 1] / work.instances[level]
        inputs_in, inputs_read = arriving[INPUTS] + peers, load[INPUTS] + peers
        if not relaxed:
            inputs_in, inputs_read = torch.round(inputs_in), torch.round(inputs_read)
        loads.append((load[WEIGHTS], inputs_read, load[OUTPUTS]))
        arrivals.append((arriving[WEIGHTS], inputs_in, arriving[OUTPUTS]))
    return _held_accesses(mappings, loads, arrivals, work.own_outputs, count_first_fill)


def _held_accesses(
    mappings: MappingBatch, load: list[Row], arriving: list[Row], own: Row, count_first_fill: bool
) -> list[tuple[Row, ...]]:
    """Return reads, fills and updates where a tensor is held, per level and tensor, one tensor [n] each.

    Args:
        mappings: which say what is held where.
        load: words that what is inside reads or writes, per level and tensor.
        arriving: words that come from outside, likewise.
        own: outputs that a level is in charge of; their first read brings nothing.
        count_first_fill: count it nevertheless where it fills the level.
    """
    keeps = [row.unbind() for row in mappings.keeps]
    nothing = torch.zeros_like(own[0])
    found: list[tuple[Row, ...]] = []
    for level, held in enumerate(keeps):
        first = nothing if count_first_fill else own[level]
        fills = (*arriving[level][:OUTPUTS], arriving[level][OUTPUTS] - first)
        outside = [reduce(torch.logical_or, [k[t] for k in keeps[level + 1 :]], nothing > 0) for t in range(3)]
        reads = (*load[level][:OUTPUTS], load[level][OUTPUTS] - own[level])
        updates = (nothing, nothing, load[level][OUTPUTS])
        found.append(
            tuple(
                (
                    torch.where(held[t], reads[t], 0.0),
                    torch.where(held[t] & outside[t], fills[t], 0.0),
                    torch.where(held[t], updates[t], 0.0),
                )
                for t in range(3)
            )
        )
    return found


def _instances(nest: Nest) -> Row:
    """Return the used instances of each level, one tensor [n] each."""
    counts = [torch.ones_like(nest.above[0])]
    for level in range(len(nest.spatial) - 1, 0, -1):
        counts.append(counts[-1] * nest.fanout(level))
    return tuple(counts[::-1])


def _own_outputs(nest: Nest) -> Row:
    """Return the outputs that one instance of each level is in charge of over the layer, one tensor [n] each."""
    own = [nest.words(nest.tile[-1])[OUTPUTS]]
    for level in range(len(nest.spatial) - 1, 0, -1):
        own.append(own[-1] / nest.units("O", level))
    return tuple(own[::-1])


def _access_energy(
    moved: tuple[Row, ...], instances: Tensor, hierarchies: HierarchyBatch, level: int, relaxed: bool
) -> Row:
    """Return the energy of all instances of a level, one tensor [n] per data tensor, in pJ."""

    def energy(words: Tensor, kind: int) -> Tensor:
        blocks = words / hierarchies.block[level]
        return (blocks if relaxed else rounded_up(blocks)) * hierarchies.access_pj[level, kind]

    return tuple(
        reduce(torch.add, [energy(words, kind) for kind, words in enumerate(kinds)]) * instances for kinds in moved
    )


def _across(unrolled: Row, along_y: Tensor) -> Row:
    """Return the instances used along X and along Y, one tensor [n] each."""
    return product([factor / y for factor, y in zip(unrolled, along_y, strict=True)]), product(along_y.unbind())


def _over_keeps(hierarchies: HierarchyBatch, mappings: MappingBatch, like: Tensor, level: int) -> Row:
    """Return whether a tensor is kept where it cannot be, or missing at the outermost level, per tensor [n].

    An outermost level that cannot keep a tensor leaves it to a level inside, as the intermediate of fused layers is.
    """
    everywhere = torch.zeros_like(like, dtype=torch.bool)
    outermost = level + 1 == len(mappings.keeps)
    tensors = zip(mappings.keeps[level], hierarchies.keeps[level], mappings.keeps.any(dim=0), strict=True)
    return tuple(
        everywhere | (kept & ~able) | ((able & ~kept) | ~held if outermost else everywhere)
        for kept, able, held in tensors
    )
