"""The contract that every surrogate of layers meets, ours and those of other packages.

Inherit from `LayerSurrogateContract` in a test module and override the fixture `kind`:

    class TestMine(LayerSurrogateContract):
        @pytest.fixture(scope="class")
        def kind(self):
            return mine.KIND
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from armillary import evaluators
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.sampling import LayerSampling
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import SPACE
from armillary.log.columns import numbered
from armillary.studies.layers import prior_of
from armillary.surrogates.layers import LayerPrediction, LayerSurrogate, LayerSurrogateKind, LearnsBeforehand, Prior
from armillary.surrogates.layers.dataset import LayerDataset
from armillary.types import ArmillaryError, Fidelity, Value
from armillary.workloads.layer import Layer, LayerUse, Workload

_SIZES = ((96, 64, 28, 3), (64, 96, 56, 1), (32, 128, 20, 3), (128, 64, 28, 1), (64, 32, 56, 3))
LAYERS = tuple(
    LayerUse(Layer(f"layer_{place}", "conv", K=k, C=c, P=p, Q=p, R=r, S=r)) for place, (k, c, p, r) in enumerate(_SIZES)
)
FACTOR = 1.5


def example(samples: int = 120, seed: int = 0) -> tuple[LayerDataset, Prior]:
    """Return layer runs whose delay is 1.5 times what the prior says, and 1% of noise; some rows are infeasible."""
    rows = sample_layers(
        [Workload("net", LAYERS)], LayerSampling(samples, seed=seed, unfit_share=0.5), lambda _: None
    ).rows
    prior = prior_of("gemmini", rows)
    noise = np.exp(0.01 * np.random.default_rng(seed).standard_normal(len(rows)))
    codes = SPACE.encode([one.design for one in rows])
    names = [one.layer.name for one in rows]
    dataset = LayerDataset(
        codes=codes,
        mapped=rows,
        delay_cycles=FACTOR * prior.metrics["delay_cycles"] * noise,
        energy_pj=prior.metrics["energy_pj"],
        feasible=prior.feasible,
        hardware=numbered(list(codes.T)),
        layer=np.unique(names, return_inverse=True)[1].astype(np.int64),
        network=np.zeros(len(rows), dtype=np.int64),
        networks=("net",),
    )
    return dataset, prior


def analytical(samples: int, options: Mapping[str, Value], seed: int = 2) -> LayerDataset:
    """Return layer runs of the analytical evaluator: what some learn before they are fitted to the example."""
    sampling = LayerSampling(samples, seed=seed, unfit_share=0.0)
    rows = sample_layers([Workload("net", LAYERS)], sampling, lambda _: None).rows
    spec = evaluators.spec_of("gemmini", Fidelity.ANALYTICAL, options)
    return LayerDataset.of_runs(SPACE, [run for _, run in LocalExecutor().run_mapped(spec, rows)])


class LayerSurrogateContract:
    """What a surrogate of layers promises.

    Attributes:
        most_error: median error of the logarithm on rows of the example that were not learned from. The prior's is
            `log(FACTOR)`; a surrogate that does not start from the prior may need more.
    """

    most_error: float = 0.5 * float(np.log(FACTOR))

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls) -> LayerSurrogateKind:
        """How it is registered."""
        raise NotImplementedError("override the fixture kind")

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, kind: LayerSurrogateKind) -> LayerSurrogate:
        """A model of the example's delay."""
        model = kind.make(space=SPACE, metric="delay_cycles", seed=0)
        if isinstance(model, LearnsBeforehand):
            model.learn_beforehand(analytical(model.samples, model.analytical_options))
        return model.fit(*example())

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls, fitted: LayerSurrogate) -> tuple[LayerDataset, Prior, LayerPrediction]:
        """Rows that were not learned from, and what the model expects of them."""
        rows, prior = example(60, seed=1)
        return rows, prior, fitted.predict_layers(rows.mapped, prior)

    def test_learns(self, unseen: tuple[LayerDataset, Prior, LayerPrediction]) -> None:
        """The error is small beside that of one value for all rows, and the mean lies within the interval."""
        rows, _, found = unseen
        known = rows.feasible
        error = np.abs(np.log(found.mean[known] / rows.delay_cycles[known]))
        logs = np.log(rows.delay_cycles[known])
        assert np.median(error) < self.most_error
        assert np.median(error) < 0.5 * np.median(np.abs(logs - np.median(logs)))
        assert (found.low[known] <= found.mean[known]).all()
        assert (found.mean[known] <= found.high[known]).all()
        assert (found.low[known] > 0).all()

    def test_tells_what_is_feasible(self, unseen: tuple[LayerDataset, Prior, LayerPrediction]) -> None:
        """Chances are chances, higher where rows are feasible."""
        rows, _, found = unseen
        assert ((found.p_feasible >= 0) & (found.p_feasible <= 1)).all()
        assert found.p_feasible[rows.feasible].mean() > found.p_feasible[~rows.feasible].mean()

    def test_rows_do_not_depend_on_each_other(
        self, fitted: LayerSurrogate, unseen: tuple[LayerDataset, Prior, LayerPrediction]
    ) -> None:
        """Some rows in another order have the same predictions."""
        rows, prior, found = unseen
        some = [7, 3, 20]
        again = fitted.predict_layers([rows.mapped[row] for row in some], prior.select(np.array(some)))
        for name in ("mean", "low", "high", "p_feasible"):
            np.testing.assert_allclose(getattr(again, name), getattr(found, name)[some], rtol=1e-6)

    def test_comes_back_from_its_file(
        self,
        kind: LayerSurrogateKind,
        fitted: LayerSurrogate,
        unseen: tuple[LayerDataset, Prior, LayerPrediction],
        tmp_path: Path,
    ) -> None:
        """The model of the file predicts the same, and knows what it predicts beside what."""
        rows, prior, found = unseen
        fitted.save(tmp_path / "model.pt")
        read = kind.read(tmp_path / "model.pt", space=SPACE)
        again = read.predict_layers(rows.mapped, prior)
        for name in ("mean", "low", "high", "p_feasible"):
            np.testing.assert_allclose(getattr(again, name), getattr(found, name))
        assert (read.metric, read.prior_source) == ("delay_cycles", prior.source)
        assert read.facts() == fitted.facts()

    def test_too_few_rows_are_refused(self, kind: LayerSurrogateKind) -> None:
        """A handful of rows is not learned from."""
        rows, prior = example(4)
        with pytest.raises(ArmillaryError, match="rows"):
            kind.make(space=SPACE, metric="delay_cycles", seed=0).fit(rows, prior)
