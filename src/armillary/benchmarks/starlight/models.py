"""The models that the benches compare, each from training rows to what it expects of others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from armillary.benchmarks.starlight.collection import Rows
from armillary.benchmarks.starlight.scores import Guess, Values
from armillary.hardware.templates.gemmini import SPACE
from armillary.surrogates.auto.trees import boosted, told
from armillary.surrogates.layers import LayerSurrogate, Prior, kind_of
from armillary.surrogates.starlight.encoding import inputs_of, logarithms_of
from armillary.surrogates.starlight.low import StarlightLow
from armillary.surrogates.starlight.paper import StarlightPaper

Model = Callable[[Rows, Rows, int], Guess]
"""Of training rows, the rows asked, and a seed."""
_BATCH = 400
"""Rows whose prediction is timed: of fewer, what a call takes whatever the rows counts for most."""


def encoded(rows: Rows) -> Values:
    """Return the dissertation's 40 inputs, shape [rows, 40]."""
    return inputs_of(SPACE.columns(rows.data.codes), rows.data.mappings)


def alone(timing: str) -> Model:
    """Return the analytical evaluator's own answer at a timing; it learns nothing."""
    return lambda _train, asked, _seed: Guess(_prior(asked, timing).metrics["delay_cycles"])


def surrogate(kind: str, timing: str) -> Model:
    """Return a registered surrogate of layers beside a timing of the analytical evaluator."""
    return _fitted(lambda seed: kind_of(kind).make(space=SPACE, metric="delay_cycles", seed=seed), timing)


def _fitted(make: Callable[[int], LayerSurrogate], timing: str) -> Model:
    def model(train: Rows, asked: Rows, seed: int) -> Guess:
        start = time.process_time()
        fitted = make(seed).fit(train.data, _prior(train, timing))
        trained = time.process_time()
        found = fitted.predict_layers(asked.data.mapped, _prior(asked, timing))
        predicted_ms = 1_000 * (time.process_time() - trained) / len(asked)
        batch = predicted_ms if len(asked) >= _BATCH else None
        return Guess(found.mean, found.low, found.high, trained - start, batch)

    return model


def trees_on_inputs(train: Rows, asked: Rows, seed: int) -> Guess:
    """Return boosted trees of the 40 inputs, without any analytical answer."""
    known, new = (logarithms_of(encoded(rows)) for rows in (train, asked))
    return Guess(np.exp(told(boosted(known, np.log(train.data.delay_cycles), seed), new)))


def paper(low: StarlightLow, epochs: int) -> Model:
    """Return the dissertation's Starlight with a Starlight-Low that was trained before."""
    return _fitted(lambda _: StarlightPaper(SPACE, low=low, epochs=epochs), "physics")


MODELS: Mapping[str, Model] = {
    "cost model alone": alone("roofline"),
    "cost model, calibrated": surrogate("calibrated", "roofline"),
    "physics alone": alone("physics"),
    "physics, calibrated": surrogate("calibrated", "physics"),
    "trees on inputs": trees_on_inputs,
    "residual over cost model": surrogate("starlight", "roofline"),
    "starlight": surrogate("starlight", "physics"),
}
ABLATIONS = ("trees on inputs", "residual over cost model")


def _prior(rows: Rows, timing: str) -> Prior:
    return {"roofline": rows.roofline, "physics": rows.physics}[timing]
