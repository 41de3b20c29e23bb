import numpy as np
import torch

from armillary.mapping.gradient import logits_of, nearest_splits, relaxed
from armillary.mapping.mapspace import MapSpace
from armillary.mapping.search import search
from armillary.workloads.layer import Layer
from mapping.test_mapspace import LAYER, hierarchy


def test_relaxed_factors_always_multiply_to_the_bounds():
    space = MapSpace(hierarchy(), LAYER)
    codes = space.random(16, np.random.default_rng(0))
    logits = [torch.randn(len(s.slots), 16, dtype=torch.float64) for s in space.splits]
    found = relaxed(space, logits, space.decode(codes))
    products = (found.temporal * found.spatial).prod(dim=0)
    bounds = torch.tensor([1.0, 12, 4, 6, 5, 3, 1, 1], dtype=torch.float64)
    torch.testing.assert_close(products, bounds[:, None].expand(-1, 16), rtol=1e-9, atol=0)


def test_a_mapping_that_is_not_moved_rounds_to_itself():
    space = MapSpace(hierarchy(), LAYER)
    codes = space.random(64, np.random.default_rng(1))
    shares = [torch.softmax(logits_of(s.factors[codes[:, d]]), dim=0) for d, s in enumerate(space.splits)]
    assert (nearest_splits(space, shares, codes) == codes).all()


def test_descent_beats_its_random_starts():
    layer = Layer("conv", "conv", K=64, C=32, P=14, Q=14, R=3, S=3)
    ratios = []
    for seed in range(3):
        descent, random = (
            search(hierarchy(), layer, method=m, budget=4_000, seed=seed).value for m in ("gradient", "random")
        )
        ratios.append(descent / random)
    assert np.median(ratios) < 0.97  # 0.85
