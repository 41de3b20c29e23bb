import numpy as np
import pytest
import torch

from armillary.cost_model import batch_costs, evaluate
from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import Compute, Hierarchy, Level
from armillary.mapping import search as search_module
from armillary.mapping.exhaustive import Enumeration
from armillary.mapping.genes import GeneSpace
from armillary.mapping.goals import METHODS
from armillary.mapping.judge import Judge
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.search import NoLegalMappingError, search
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from mapping.test_mapspace import ENERGY, LAYER, hierarchy

NARROW = {"temporal": "KC", "spatial_x": "K", "spatial_y": "C"}
SMALL = hierarchy(Buf=NARROW, Reg={"temporal": "C", "spatial_x": "", "spatial_y": ""})
SMALL_LAYER = Layer("gemm", "gemm", K=16, C=8, P=6)
CHIP = Hierarchy(
    name="array",
    levels=(
        Level(name="DRAM", kind="dram"),
        Level(name="Buf", capacity_words=65_536, fanout=(14, 3)),
        Level(name="Reg", kind="regfile", capacity_words=512),
    ),
)


def test_summaries_are_the_costs_of_every_candidate():
    space = MapSpace(hierarchy(), LAYER)
    batch = space.decode(space.random(20_000, np.random.default_rng(0)))
    chip, layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([LAYER])
    fast, full = summaries(chip, layer, batch), batch_costs(chip, layer, batch)
    assert torch.equal(fast.feasible, full.feasible)
    assert torch.equal(fast.delay_cycles[full.feasible], full.delay_cycles[full.feasible])
    torch.testing.assert_close(fast.energy_pj[full.feasible], full.energy_pj[full.feasible], rtol=1e-12, atol=0)


@pytest.mark.slow
def test_the_compiled_kernel_gives_the_same_answers():
    space = MapSpace(hierarchy(), LAYER)
    batch = space.decode(space.random(70_000, np.random.default_rng(0)))
    chip, layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([LAYER])
    eager, compiled = (summaries(chip, layer, batch, compiled=c) for c in (False, True))
    fits = eager.feasible
    assert torch.equal(fits, compiled.feasible)
    assert torch.equal(eager.delay_cycles[fits], compiled.delay_cycles[fits])
    torch.testing.assert_close(eager.energy_pj[fits], compiled.energy_pj[fits], rtol=1e-12, atol=0)


@pytest.mark.parametrize("perfect", [True, False])
def test_exhaustion_proves_what_the_others_can_at_best_reach(perfect):
    best = search(SMALL, SMALL_LAYER, method="exhaustive", perfect=perfect)
    assert best.optimal
    if perfect:
        space = MapSpace(SMALL, SMALL_LAYER)
        every = space.decode(space.all(0, space.size))
        plain = batch_costs(HierarchyBatch.of([SMALL]), LayerBatch.of([SMALL_LAYER]), every)
        values = torch.where(plain.feasible, plain.delay_cycles * plain.energy_pj, torch.inf)
        assert best.value == pytest.approx(values.min().item(), rel=1e-12)
    for method in set(METHODS) - {"exhaustive", "proven", "gradient"}:
        found = search(SMALL, SMALL_LAYER, method=method, budget=4_000, perfect=perfect)
        assert found.value >= best.value
        assert not found.optimal
    assert search(SMALL, SMALL_LAYER, perfect=perfect).value == best.value


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_value_is_that_of_the_mapping(method):
    found = search(SMALL, SMALL_LAYER, method=method, budget=500)
    costs = evaluate(SMALL, SMALL_LAYER, found.mapping)
    assert costs.feasible.item()
    assert found.value == pytest.approx(costs.delay_cycles.item() * costs.energy_pj.item())
    assert [v for _, v in found.curve] == sorted((v for _, v in found.curve), reverse=True)


@pytest.mark.parametrize("method", ["annealing", "genetic"])
def test_a_search_that_learns_beats_random_on_a_large_space(method):
    chip = hierarchy()
    layer = Layer("conv", "conv", K=64, C=32, P=14, Q=14, R=3, S=3)
    learning, random = (
        np.median([search(chip, layer, method=m, budget=8_000, seed=s).value for s in range(5)])
        for m in (method, "random")
    )
    assert learning < 0.9 * random


@pytest.mark.parametrize("method", ["annealing", "genetic", "random", "sobol"])
def test_a_small_budget_is_kept_and_well_used(method):
    """Annealing of 4,000 mappings comes near what it finds without a limit; no method looks at more than it may."""
    layer = Layer("conv", "conv", K=64, C=32, P=14, Q=14, R=3, S=3)
    values = []
    for seed in range(3):
        found = search(CHIP, layer, method=method, budget=4_000, seed=seed)
        assert found.evaluated <= 4_000
        values.append(found.value)
    if method == "annealing":
        assert np.median(values) < 1.3 * search(CHIP, layer).value


def test_same_seed_same_result():
    first, second = (search(SMALL, SMALL_LAYER, budget=1_000, seed=4) for _ in range(2))
    assert (first.mapping, first.value, first.curve) == (second.mapping, second.value, second.curve)


def test_time_runs_out_with_the_best_so_far():
    found = search(hierarchy(), LAYER, method="random", budget=10**9, seconds=0.5)
    assert found.evaluated < 10**9
    assert found.legal


def test_nothing_legal_is_told_with_what_is_exceeded():
    cramped = Hierarchy(
        name="cramped",
        levels=(Level(name="DRAM", kind="dram", energy=ENERGY), Level(name="Buf", capacity_words=2, energy=ENERGY)),
        compute=Compute(energy_pj=1.0),
    )
    with pytest.raises(NoLegalMappingError, match=r"Buf\.capacity_words is exceeded most often, by \d+% of random"):
        search(cramped, LAYER, budget=100)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "magic"}, r"method 'magic' is unknown; choose one of \['annealing'"),
        ({"goal": "area"}, r"goal 'area' is unknown; choose one of \['edp'"),
        ({"budget": 0}, r"budget=0 is not allowed"),
    ],
)
def test_a_wrong_request_is_refused(wrong, message):
    with pytest.raises(ArmillaryError, match=message):
        search(hierarchy(), LAYER, **wrong)


def test_what_is_too_large_to_exhaust_is_refused():
    layer = Layer("big", "conv", K=512, C=512, P=28, Q=28, R=3, S=3)
    with pytest.raises(ArmillaryError, match=r"layer big on h has [\d,]+ ways to split its loops, too many to exhaust"):
        search(hierarchy(), layer, method="exhaustive", perfect=True)
    with pytest.raises(ArmillaryError, match=r"splits in more than 2,000,000 ways; .* or ask for perfect factors only"):
        search(hierarchy(), Layer("prime", "gemm", K=1_000_003), method="exhaustive")


def test_exhaustion_keeps_to_its_time_and_shows_where_it_is():
    seen = []
    layer = Layer("l", "gemm", K=24, C=24, P=12)
    found = search(
        hierarchy(), layer, method="exhaustive", seconds=2.0, on_progress=lambda done, total: seen.append((done, total))
    )
    assert not found.optimal
    assert found.stopped == "time"
    assert found.seconds < 10
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 1


def test_enumeration_meets_every_legal_mapping_that_differs():
    judge = Judge(GeneSpace(SMALL, SMALL_LAYER, perfect=True), "edp")
    every = np.concatenate(list(Enumeration(judge).batches()))
    met = {str(judge.space.mapping(gene)) for gene in every}
    assert len(met) == len(every)
    space = MapSpace(SMALL, SMALL_LAYER)
    plain = space.all(0, space.size)
    fits = summaries(HierarchyBatch.of([SMALL]), LayerBatch.of([SMALL_LAYER]), space.decode(plain)).feasible.numpy()
    assert met == {str(space.mapping(code)) for code in plain[fits]}


def test_a_space_of_one_mapping_ends_at_once():
    found = search(hierarchy(), Layer("one", "gemm", K=1))
    assert (found.evaluated, found.optimal, found.stopped) == (1, True, "every mapping seen")


@pytest.mark.parametrize("bound", [7, 13, 197, 257])
def test_more_work_is_never_faster(bound):
    """A layer whose rows are padded to a rounder number is not done earlier."""
    chip = CHIP
    layers = [Layer("l", "gemm", K=k, C=24, P=12) for k in (bound, -(-bound // 8) * 8)]
    plain, padded = (
        min(search(chip, layer, goal="delay", budget=30_000, seed=s).value for s in range(2)) for layer in layers
    )
    assert plain <= padded


def test_a_prime_fills_the_array_as_ceil_division_allows():
    layer = Layer("attention", "gemm", K=197, C=64, P=197)
    delay = search(CHIP, layer, goal="delay").value
    assert delay <= 1.01 * np.ceil(197 / 14) * 64 * 197 / 3


def test_imperfect_factors_find_no_worse_than_perfect_ones():
    for layer in (Layer("a", "gemm", K=60, C=32, P=48), Layer("b", "conv", K=17, C=19, P=11, Q=7, R=3, S=3)):
        whole, cut = (search(CHIP, layer, perfect=perfect).value for perfect in (True, False))
        assert cut <= whole * (1 + 1e-9)


def test_the_search_ends_when_it_no_longer_improves():
    short = search(hierarchy(), LAYER)
    assert short.stopped == "no longer improving"
    long = search(hierarchy(), LAYER, budget=3 * short.evaluated)
    assert long.stopped == "budget"
    assert long.evaluated > 2 * short.evaluated
    assert short.value <= 1.01 * long.value


def test_mappings_that_an_accelerator_cannot_run_are_out():
    def fits(batch):
        few = rng.random(len(batch)) < 0.2
        allowed.append(int(few.sum()))
        return few

    rng, allowed = np.random.default_rng(0), []
    found = search(hierarchy(), LAYER, method="random", budget=2000, perfect=True, fits=fits)
    assert 0 < found.legal <= sum(allowed)
    assert found.value > search(hierarchy(), LAYER, method="random", budget=2000, perfect=True).value
    with pytest.raises(
        NoLegalMappingError, match=r"[\d,]+ mappings keep to the hierarchy, but the accelerator can run"
    ):
        search(hierarchy(), LAYER, budget=2000, perfect=True, fits=lambda batch: np.zeros(len(batch), dtype=bool))


def test_a_walk_goes_only_where_the_accelerator_can():
    def fits(batch):
        return (batch.temporal[:, 1].prod(dim=0) * batch.spatial[:, 1].prod(dim=0) == 12).numpy() & (
            batch.spatial[1, 1] != 4
        ).numpy()

    found = search(hierarchy(), LAYER, perfect=True, budget=3_000, fits=fits)
    assert "K4X" not in str(found.mapping)
    assert found.value >= search(hierarchy(), LAYER, perfect=True).value


def own_delays(batch):
    return summaries(HierarchyBatch.of([hierarchy()]), LayerBatch.of([LAYER]), batch).delay_cycles.numpy()


def test_the_best_is_chosen_by_given_delays():
    """Delays twice the cost model's choose as it does; others choose the best by themselves of all that was met."""
    asked = []

    def odd(batch):
        delays = own_delays(batch) * (1 + batch.temporal[0, 2].numpy() % 2)  # an odd factor of C costs twice
        asked.extend(delays.tolist())
        return delays

    plain, twice, other = (
        search(hierarchy(), LAYER, method="random", goal="delay", budget=3000, delays=delays)
        for delays in (None, lambda batch: 2 * own_delays(batch), odd)
    )
    assert twice.mapping == plain.mapping
    assert twice.delay_cycles == twice.value == 2 * plain.delay_cycles
    assert other.delay_cycles == min(asked)
    assert len(asked) == other.legal


def test_given_delays_are_asked_for_where_the_bound_is_better_than_the_best():
    asked = []

    def twice(batch):
        delays = 2 * own_delays(batch)
        asked.extend(delays.tolist())
        return delays

    found = search(hierarchy(), LAYER, goal="delay", budget=5000, delays=twice)
    assert found.delay_cycles == min(asked)
    assert 0 < len(asked) < found.legal


@pytest.mark.parametrize("method", ["annealing", "proven"])
def test_compiling_takes_nothing_of_a_searchs_time(method, monkeypatch):
    begun = []
    real = search_module.Judge

    def judge(*args, **options):
        begun.append("judge")
        return real(*args, **options)

    monkeypatch.setattr(search_module, "Judge", judge)
    for name in ("prepare", "prepare_proofs"):
        monkeypatch.setattr(search_module, name, lambda name=name: begun.append(name))
    search(CHIP, LAYER, method=method, seconds=5.0, budget=500)
    assert begun[: begun.index("judge")] == ["prepare", "prepare_proofs"][: 2 if method == "proven" else 1]
