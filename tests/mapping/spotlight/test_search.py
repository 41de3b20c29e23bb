from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
import pytest

from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.evaluators.spotlight import map_network
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.spotlight.fixed import FixedSpace, grid
from armillary.mapping.spotlight.local import DISTINCT, LocalMaps
from armillary.mapping.spotlight.mappers import MAPPERS, THOROUGH
from armillary.mapping.spotlight.mapspace import ARRAY, FLEXIBLE, NVDLA, REGISTERS, Maps, UnrolledSpace
from armillary.mapping.spotlight.roofline import Roofline
from armillary.mapping.spotlight.search import RANDOM, Judge, Mapper
from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

CHIP = Chip(4, 64, 4, 3, 1, 1)
SMALL = [
    Layer("gemm", "gemm", K=4, C=4, P=6),
    Layer("conv", "conv", K=2, C=4, P=2, R=3),
    Layer("depthwise", "depthwise", K=4, C=4, groups=4, P=2, R=3),
]


def every_mapping(space):
    """Yield all mappings of a small layer, also those that leave room in the array unused."""

    def splits(bound):
        divisors = [d for d in range(1, bound + 1) if bound % d == 0]
        return [f for f in product(divisors, repeat=5) if np.prod(f) == bound]

    factors = np.array(list(product(*(splits(int(b)) for b in space.bounds))), dtype=np.int64)
    pairs, lanes = space.axes
    orders = np.array(list(product(range(len(space.orders)), repeat=2)))
    dims = np.arange(len(space.bounds))
    for (rows, columns), lane in product(pairs, lanes):
        limit = np.where(dims == rows, space.rows, np.where(dims == columns, space.columns, 1))
        allowed = (factors[:, :, ARRAY] <= limit).all(axis=1)
        allowed &= (factors[:, :, 1] <= np.where(dims == lane, space.lanes, 1)).all(axis=1)
        some = np.repeat(factors[allowed], len(orders), axis=0)
        n = len(some)
        every = Maps(some, *(np.full(n, d) for d in (rows, columns, lane)), np.tile(orders, (n // len(orders), 1)))
        yield every.select(space.legal(every))


@cache
def optima(layer):
    """Return the least goals that any mapping of a layer has."""
    space = DISTINCT(CHIP, layer)
    chip, layers = HierarchyBatch.of([CHIP.hierarchy()]), LayerBatch.of([layer])
    least = dict.fromkeys(("edp", "delay", "energy"), np.inf)
    for maps in every_mapping(space):
        found = summaries(chip, layers, space.decode(maps))
        assert found.feasible.all()
        delay, energy = found.delay_cycles.numpy(), found.energy_pj.numpy()
        for goal, values in (("edp", delay * energy), ("delay", delay), ("energy", energy)):
            least[goal] = min(least[goal], float(values.min()))
    return least


@pytest.mark.parametrize("goal", ["edp", "delay", "energy"])
@pytest.mark.parametrize("layer", SMALL, ids=lambda la: la.name)
def test_the_thorough_search_ends_within_a_percent_of_the_optimum(layer, goal):
    found = [best.value for seed in range(3) for best in THOROUGH.map(CHIP, [layer], goal, seed)]
    assert min(found) >= optima(layer)[goal] * (1 - 1e-12)
    assert np.median(found) <= 1.01 * optima(layer)[goal]


@pytest.mark.parametrize("name", MAPPERS.names())
def test_a_mapper_answers_every_layer_with_what_the_cost_model_says(name):
    mapper = MAPPERS.load(name)
    mapper = mapper.with_samples(min(mapper.samples, 500))
    layers = zoo.build("mobilenet_v2").layers[:4]
    work = Workload("some", layers)
    chip = Chip(8, 128, 12, 14, 128, 64)
    found = map_network(chip, work.layers, mapper=mapper, goal="edp", seed=3)
    again = map_network(chip, work.layers, mapper=mapper, goal="edp", seed=3)
    assert found.mappings == again.mappings
    for layer, best, mapping in zip(found.layers, found.best, found.mappings, strict=True):
        assert not list(mapping.faults(chip.hierarchy(), layer))
        assert best.value == pytest.approx(best.delay_cycles * best.energy_pj)
        assert best.evaluated >= mapper.samples
    assert found.edp_pj_cycles == pytest.approx(found.delay_cycles * found.energy_pj)


def test_a_layer_whose_delay_cannot_be_less_is_searched_no_further():
    layers = [use.layer for use in zoo.build("vgg16").layers[:3]]
    chip = Chip(16, 75, rows=32, columns=8, scratchpad_kib=256, register_file_kib=144)
    least = Roofline(layers).delays(chip)
    asked = []

    class Counted(LocalMaps):
        def ask(self, n):
            asked.append(self.space.layer)
            return super().ask(n)

    found = Mapper("counted", Counted, samples=3000, batch=100, space=DISTINCT).map(chip, layers, "delay", 0)
    assert [best.delay_cycles for best in found] == least.tolist()
    assert len({asked.count(layer) for layer in layers}) > 1
    assert [best.evaluated for best in found] == [100 * asked.count(layer) for layer in layers]
    assert min(best.evaluated for best in found) < 1000


def test_balancing_lowers_the_product_of_the_sums():
    layers, chip = zoo.build("resnet50").layers[2:6], Chip(8, 128, 12, 14, 128, 64)
    own = Mapper("own", RANDOM.make, samples=1000, batch=100)
    ratios = []
    for seed in range(3):
        apart, together = (
            map_network(chip, layers, mapper=replace(own, balanced=b), goal="edp", seed=seed) for b in (False, True)
        )
        ratios.append(together.edp_pj_cycles / apart.edp_pj_cycles)
        for best in together.best:
            assert best.value == pytest.approx(best.delay_cycles * best.energy_pj)
    assert max(ratios) <= 1.0
    assert np.mean(ratios) < 0.99  # 0.97


@pytest.mark.parametrize("seed", range(5))
def test_balancing_finds_the_best_pair_of_all_mappings_met(seed):
    layers = [Layer("dense", "gemm", K=1000, C=512), Layer("conv", "conv", K=64, C=64, P=28, Q=28, R=3, S=3)]
    spaces = [UnrolledSpace(Chip(8, 128, 12, 14, 128, 64), layer) for layer in layers]
    judge = Judge(spaces, "edp", keep=True)
    rng = np.random.default_rng(seed)
    drawn = [space.draw(2000, rng)[0] for space in spaces]
    judge(drawn)
    runs = rng.integers(1, 20, size=2).astype(float)
    costs = [np.concatenate([c for _, c in met], axis=1) for met in judge._met]
    delay, energy = (runs[0] * costs[0][k][:, None] + runs[1] * costs[1][k] for k in (0, 1))
    found = judge.balanced(runs)
    sums = [runs @ [getattr(best, name) for best in found] for name in ("delay_cycles", "energy_pj")]
    assert sums[0] * sums[1] == pytest.approx(np.nanmin(delay * energy), rel=1e-3)


def test_equal_layers_are_mapped_once_and_counted_every_time():
    layer = Layer("a", "gemm", K=8, C=8, P=8)
    twice = LayerUse(layer, count=2), LayerUse(Layer("b", "gemm", K=8, C=8, P=8))
    once = map_network(CHIP, (LayerUse(layer),), mapper=RANDOM, goal="delay", seed=0)
    thrice = map_network(CHIP, twice, mapper=RANDOM, goal="delay", seed=0)
    assert thrice.runs == (3,)
    assert thrice.delay_cycles == 3 * once.delay_cycles


def test_a_warm_search_begins_with_the_mappings_of_another_chip():
    layers = [use.layer for use in zoo.build("mobilenet_v2").layers[:6]]
    first, second = Chip(8, 128, 12, 14, 128, 64), Chip(8, 100, 11, 14, 96, 64)
    few = Mapper("few", LocalMaps, samples=10, space=DISTINCT, warm=True)
    gains = []
    for seed in range(3):
        good = THOROUGH.with_samples(1000).map(first, layers, "edp", seed)
        starts = {best.space.layer: [best.mapping] for best in good}
        warm, cold = (few.map(second, layers, "edp", seed, starts=begin) for begin in (starts, None))
        for best in warm:
            adopted = best.space.adopted(best.space.maps_of(starts[best.space.layer][0]))
            assert not len(adopted) or best.value <= Judge([best.space], "edp")([adopted])[0][0]
        gains.append(np.mean([np.log(c.value / w.value) for w, c in zip(warm, cold, strict=True)]))
    assert np.median(gains) > 0.1  # 0.3


def test_what_is_searched_with_other_mappings_to_begin_with_is_the_same_elsewhere():
    layers = [Layer("a", "gemm", K=48, C=36, P=20), Layer("b", "gemm", K=36, C=36, P=20)]
    few = Mapper("few", LocalMaps, samples=30, space=DISTINCT, warm=True)
    cold = few.map(CHIP, layers, "edp", 0)
    warm = few.map(CHIP, layers, "edp", 0, starts={layers[0]: [best.mapping for best in cold[:1]]})
    assert warm[0].value <= cold[0].value
    assert (warm[1].mapping, warm[1].value) == (cold[1].mapping, cold[1].value)


def test_a_dataflow_restricts_the_search():
    layer = Layer("conv", "conv", K=16, C=16, P=8, Q=8, R=3, S=3)
    chip = Chip(4, 64, 8, 8, 64, 64)
    nvdla = Mapper("nvdla", RANDOM.make, samples=200, space=partial(UnrolledSpace, dataflow=NVDLA))
    best = nvdla.map(chip, [layer], "delay", 0)[0]
    array = nvdla.space(chip, layer).mapping(best.maps, 0).inner_first[1]
    assert {loop.dimension for loop in array.spatial} <= {"C", "K"}
    assert FLEXIBLE.rows == FLEXIBLE.columns


@pytest.mark.parametrize("layer", [use.layer for use in zoo.build("resnet50").layers[:8]], ids=lambda la: la.name)
def test_the_grid_holds_dozens_of_legal_mappings_with_whole_windows(layer):
    space = UnrolledSpace(Chip(8, 128, 12, 14, 128, 64), layer)
    maps = grid(space)
    assert (4 if layer.C == 3 else 20) <= len(maps) <= 500
    assert space.legal(maps).all()
    assert (maps.factors.prod(axis=2) == space.bounds).all()
    assert (maps.factors[:, 5:7, REGISTERS] == space.bounds[5:7]).all()


def test_fixed_dataflows_leave_only_the_channels_free():
    layer = Layer("conv", "conv", K=16, C=16, P=14, Q=14, R=3, S=3)
    space = FixedSpace(Chip(8, 128, 12, 14, 128, 64), layer)
    maps = space.random(300, np.random.default_rng(0))
    assert (maps.factors.prod(axis=2) == space.bounds).all()
    assert len(space.orders) == 2
    kept = maps.factors[:, 5:7, REGISTERS] * maps.factors[:, 5:7, ARRAY] * maps.factors[:, 5:7, 1]
    assert (kept == 3).all()


def test_an_unknown_goal_and_no_layers_are_refused():
    with pytest.raises(ArmillaryError, match="goal 'speed' is unknown"):
        RANDOM.map(CHIP, SMALL, "speed", 0)
    with pytest.raises(ArmillaryError, match="no layer"):
        RANDOM.map(CHIP, [], "edp", 0)
