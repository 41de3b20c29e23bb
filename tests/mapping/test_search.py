import numpy as np
import pytest
import torch

from armillary.cost_model import batch_costs, evaluate
from armillary.cost_model.batch import HierarchyBatch, LayerBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import Compute, Hierarchy, Level
from armillary.mapping.exhaustive import Enumeration
from armillary.mapping.goals import METHODS
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.search import NoLegalMappingError, search
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from mapping.test_mapspace import ENERGY, LAYER, hierarchy

NARROW = {"temporal": "KC", "spatial_x": "K", "spatial_y": "C"}
SMALL = hierarchy(Buf=NARROW, Reg={"temporal": "C", "spatial_x": "", "spatial_y": ""})
SMALL_LAYER = Layer("gemm", "gemm", K=16, C=8, P=6)


def test_summaries_are_the_costs_of_every_candidate():
    space = MapSpace(hierarchy(), LAYER)
    batch = space.decode(space.random(20_000, np.random.default_rng(0)))
    chip, layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([LAYER])
    fast, full = summaries(chip, layer, batch), batch_costs(chip, layer, batch)
    assert torch.equal(fast.feasible, full.feasible)
    for name in ("delay_cycles", "energy_pj"):
        assert torch.equal(getattr(fast, name)[full.feasible], getattr(full, name)[full.feasible])


@pytest.mark.slow
def test_the_compiled_kernel_gives_the_same_answers():
    space = MapSpace(hierarchy(), LAYER)
    batch = space.decode(space.random(70_000, np.random.default_rng(0)))
    chip, layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([LAYER])
    eager, compiled = (summaries(chip, layer, batch, compiled=c) for c in (False, True))
    assert torch.equal(eager.feasible, compiled.feasible)
    assert torch.equal(eager.delay_cycles, compiled.delay_cycles)
    torch.testing.assert_close(eager.energy_pj, compiled.energy_pj, rtol=1e-12, atol=0)


def test_exhaustion_proves_what_the_others_can_at_best_reach():
    best = search(SMALL, SMALL_LAYER, method="exhaustive")
    assert best.optimal
    space = MapSpace(SMALL, SMALL_LAYER)
    assert best.evaluated < space.size
    plain = summaries(HierarchyBatch.of([SMALL]), LayerBatch.of([SMALL_LAYER]), space.decode(space.all(0, space.size)))
    values = torch.where(plain.feasible, plain.delay_cycles * plain.energy_pj, torch.inf)
    assert best.value == values.min()
    for method in set(METHODS) - {"exhaustive"}:
        found = search(SMALL, SMALL_LAYER, method=method, budget=2_000)
        assert found.value >= best.value
        assert not found.optimal
    reached = [search(SMALL, SMALL_LAYER, method="genetic", budget=2_000, seed=s).value for s in range(3)]
    assert np.median(reached) == best.value


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_value_is_that_of_the_mapping(method):
    found = search(SMALL, SMALL_LAYER, method=method, budget=500)
    costs = evaluate(SMALL, SMALL_LAYER, found.mapping)
    assert costs.feasible.item()
    assert found.value == pytest.approx(costs.delay_cycles.item() * costs.energy_pj.item())
    assert [v for _, v in found.curve] == sorted((v for _, v in found.curve), reverse=True)


def test_the_genetic_search_beats_random_on_a_large_space():
    chip = hierarchy()
    layer = Layer("conv", "conv", K=64, C=32, P=14, Q=14, R=3, S=3)
    genetic, random = (
        np.median([search(chip, layer, method=m, budget=4_000, seed=s).value for s in range(5)])
        for m in ("genetic", "random")
    )
    assert genetic < 0.93 * random  # 0.8


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
        ({"method": "magic"}, r"method 'magic' is unknown; choose one of \['genetic'"),
        ({"goal": "area"}, r"goal 'area' is unknown; choose one of \['edp'"),
        ({"budget": 0}, r"budget=0 is not allowed"),
        ({"remainders": True, "fits": len}, r"remainders=True is not allowed with `fits`"),
    ],
)
def test_a_wrong_request_is_refused(wrong, message):
    with pytest.raises(ArmillaryError, match=message):
        search(hierarchy(), LAYER, **wrong)


def test_what_is_too_large_to_exhaust_is_refused():
    layer = Layer("big", "conv", K=512, C=512, P=28, Q=28, R=3, S=3)
    with pytest.raises(ArmillaryError, match=r"mappings of big onto h, with .* splits, are too many to exhaust"):
        search(hierarchy(), layer, method="exhaustive")


def test_enumeration_meets_every_legal_mapping_that_differs():
    space = MapSpace(SMALL, SMALL_LAYER)
    every = Enumeration(space)
    codes = np.concatenate(list(every.batches()))
    assert len(codes) == every.size
    met = {str(space.mapping(code)) for code in codes}
    assert len(met) == len(codes)
    plain = space.all(0, space.size)
    fits = summaries(HierarchyBatch.of([SMALL]), LayerBatch.of([SMALL_LAYER]), space.decode(plain)).feasible.numpy()
    assert met == {str(space.mapping(code)) for code in plain[fits]}


def test_mappings_that_an_accelerator_cannot_run_are_out():
    def fits(batch):
        few = rng.random(len(batch)) < 0.2
        allowed.append(int(few.sum()))
        return few

    rng, allowed = np.random.default_rng(0), []
    found = search(hierarchy(), LAYER, method="random", budget=2000, fits=fits)
    assert 0 < found.legal <= sum(allowed)
    assert found.value > search(hierarchy(), LAYER, method="random", budget=2000).value
    with pytest.raises(
        NoLegalMappingError, match=r"[\d,]+ mappings keep to the hierarchy, but the accelerator can run"
    ):
        search(hierarchy(), LAYER, method="random", budget=2000, fits=lambda batch: np.zeros(len(batch), dtype=bool))
