"""Mixtures of experts under an expected load."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.workloads import load
from armillary.workloads.experts import loads


@given(st.integers(1, 3000), st.integers(1, 64), st.data())
def test_every_choice_runs_once(tokens: int, experts: int, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(1, experts))
    groups = loads(tokens, experts, chosen)
    assert sum(count * rows for count, rows in groups) == tokens * chosen
    assert chosen <= sum(count for count, _ in groups) <= experts
    assert all(1 <= rows <= tokens for _, rows in groups)


@pytest.mark.parametrize(("tokens", "experts", "chosen"), [(4, 8, 2), (8, 8, 2), (32, 64, 6)])
def test_as_many_run_as_tokens_that_choose_at_random_take(tokens: int, experts: int, chosen: int) -> None:
    rng = random.Random(1)
    taken = [len({e for _ in range(tokens) for e in rng.sample(range(experts), chosen)}) for _ in range(2000)]
    assert abs(sum(count for count, _ in loads(tokens, experts, chosen)) - sum(taken) / 2000) < 0.6


def test_a_batch_shares_the_experts_that_it_reads() -> None:
    read = [
        sum(use.count * use.layer.weights for use in load("mixtral_block", {"seq": 1, "past": 8, "batch": b}).layers
            if use.layer.K == 14336)
        for b in (1, 8)
    ]  # fmt: skip
    assert read[1] == read[0] / 2 * 7  # 8 * (1 - 0.75 ** 8) = 7.2 of 8 experts, where one token takes 2
