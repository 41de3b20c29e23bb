"""Placement gives cells room where wires crowd."""

import itertools

import numpy as np
import pytest

from armillary.evaluators.physical import congestion
from armillary.evaluators.physical.congestion import routable
from armillary.evaluators.physical.floorplan import Floorplan, planned
from armillary.evaluators.physical.netlist import Netlist
from armillary.evaluators.physical.placement import Shapes
from armillary.evaluators.physical.routing import Grid, grid_of, trees_of
from evaluators.physical.designs import needs_tools


def tangle(library, count, seed):
    """Return gates in a chain of which a quarter joins, besides, some others close to it: wires crowd there."""
    rng = np.random.default_rng(seed)
    names = [f"u{k}" for k in range(count)]
    kinds = dict.fromkeys(names, "NAND4_X1")
    sinks = {name: [] for name in names}
    pins = {name: iter(("A1", "A2", "A3", "A4")) for name in names}
    for one, other in itertools.pairwise(names):
        sinks[one].append((other, next(pins[other])))
    crowd = names[: count // 4]
    for place, name in enumerate(crowd):
        for other in rng.choice(crowd[max(0, place - 25) : place + 25], 3, replace=False):
            pin = next(pins[other], None)
            if pin is not None:
                sinks[name].append((str(other), pin))
    nets = {f"n{k}": ((name, "ZN"), *sinks[name]) for k, name in enumerate(names) if sinks[name]}
    return Netlist("tangle", kinds, nets, {}, {}, "", {})


@needs_tools
def test_what_crowds_is_given_room_until_its_wires_have_tracks(library, monkeypatch):
    netlist, shapes = tangle(library, 500, 1), Shapes(library, {})
    plan = planned(netlist, library, {}, utilization=0.5, aspect=1.0)
    whole = grid_of(library, plan, [])
    narrow = Grid(whole.size, 0.4 * whole.across_room, 0.4 * whole.up_room)
    monkeypatch.setattr(congestion, "grid_of", lambda *_: narrow)

    def over(placement):
        return narrow.use(trees_of(netlist, shapes, placement))[2].overflow

    with monkeypatch.context() as patch:
        patch.setattr(congestion, "_roomier", lambda *given: given[-1])
        without = routable(netlist, shapes, plan, effort=1, seed=0)
        assert without.rooms == {}
    found = routable(netlist, shapes, plan, effort=1, seed=0)
    assert found.rounds > 0
    assert over(without.placement) > 20
    assert over(found.placement) < 0.75 * over(without.placement)
    assert routable(netlist, shapes, plan, effort=1, seed=0) == found


def test_the_fullest_border_of_a_gcell_is_any_of_its_four(library):
    grid = grid_of(library, Floorplan(4 * 5600, 4 * 5600, 380, 2800, {}), [])
    assert grid.up_room.shape == (4, 3)
    use = grid.use(_one_wire(), rounds=0)[2]
    fullest = use.fullest
    assert (fullest > 0).sum() == 3  # the gcells that a wire of two borders goes through
    assert fullest[1, 2] == pytest.approx(max(use.across[0, 2], use.across[1, 2]))


def _one_wire():
    from armillary.evaluators.physical.routing import Trees

    place = np.array([5600 // 2, 5 * 5600 // 2])
    return Trees(("n",), ((("a", "Z"), ("b", "A")),), np.array([0, 2]), place, np.full(2, 5 * 5600 // 2),
                 np.array([0, 1]), np.array([[0, 1]]))  # fmt: skip
