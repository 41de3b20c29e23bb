"""The surrogates that are kept in files, each trained for a moment."""

import pytest

from armillary import surrogates
from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.hurdle import Hurdle
from armillary.surrogates.prime.schedules import Rung, Schedule
from armillary.surrogates.prime.surrogate import Prime
from armillary.testing.surrogates import SavableContract

SHORT = Schedule(rungs=(Rung(10, 2),), warmup=10, batch=64, learning_rate=1e-3, checkpoint=2, refit=10)
MOMENT = {"steps": 20, "steps_per_workload": 0, "members": 2}


class OursContract(SavableContract):
    name = ""

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return surrogates.kind_of(cls.name)


class TestDeepEnsembleFile(OursContract):
    name = "deep-ensemble"

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: DeepEnsemble(space=problem.space, seed=seed, **MOMENT).fit(log, problem)


class TestHurdleFile(OursContract):
    name = "hurdle"

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: Hurdle(space=problem.space, seed=seed, **MOMENT).fit(log, problem)


class TestPrimeFile(OursContract):
    name = "prime"

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: Prime(
            space=problem.space, seed=seed, schedule=SHORT, alphas=(0.1,), betas=(0.1, 1.0)
        ).fit(log, problem)
