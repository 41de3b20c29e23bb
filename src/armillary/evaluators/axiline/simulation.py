"""Streaming inputs through a simulated accelerator: its simulator, one run, and whether the reference agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.axiline.model import Inputs, Model
from armillary.evaluators.simulated import built, compare, told
from armillary.hardware.rtl.axiline.generator import TOP, sources
from armillary.hardware.rtl.fixed_point import Integers, in_words, words_of
from armillary.hardware.templates.axiline import Accelerator

HARNESS = Path(__file__).parent / "harness.cpp"
_PIPELINES = ("inference", "training", "tree")
_SLACK = 20
"""How many times the cycles that it should take a run may take, pauses among them, before it has failed."""


@dataclass(frozen=True)
class Simulated:
    """What a run showed; all but the last two of shape [inputs].

    Attributes:
        first: cycle in which an input's first part was taken.
        predicted: cycle in which its prediction showed.
        predictions: the predictions.
        stepped: cycle in which its step was done, of training.
        items: a recommender's new item factors, shape [inputs, dimension], of training; else None.
        weights: after the last step, shape [dimension], of training; else None.
    """

    first: Integers
    predicted: Integers
    predictions: Integers
    stepped: Integers
    items: Integers | None
    weights: Integers | None

    @property
    def done(self) -> Integers:
        """The first cycle in which all of an input's results are there, shape [inputs]."""
        return self.predicted if self.weights is None else self.stepped + 1


def simulator(accelerator: Accelerator) -> Path:
    """Return a simulator of an accelerator, built if it is not there yet; registers start with the values of a seed.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
        AccidentError: if a tool is killed.
    """
    defines = {
        "PIPELINE": 1 + _PIPELINES.index(accelerator.pipeline),
        "CYCLES": accelerator.cycles,
        "VECTOR_WORDS": words_of(accelerator.lanes * accelerator.vector_width),
        "WEIGHT_WORDS": words_of(accelerator.lanes * accelerator.internal_width),
    }
    return built(sources(accelerator), TOP, HARNESS, defines)


def simulate(accelerator: Accelerator, model: Model, inputs: Inputs, *, seed: int = 0, pauses: int = 0) -> Simulated:
    """Return what an accelerator makes of a stream of inputs.

    Args:
        accelerator: to simulate.
        model: which it is loaded with.
        inputs: which follow each other as fast as they are taken.
        seed: of what every register holds at the start.
        pauses: seed of cycles in which no part is offered, half of all; 0 for none.

    Raises:
        RunError: if it does not end.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    most = _SLACK * accelerator.delay_cycles(len(inputs.vectors))
    head = [pauses, most, len(inputs.vectors), *_loaded(accelerator, model)]
    parts = in_words(_in_parts(inputs.vectors, accelerator), accelerator.vector_width)
    if accelerator.pipeline == "training":
        parts = np.column_stack([parts, np.repeat(inputs.labels, accelerator.cycles)])
    stdin = np.array(head, dtype=np.int64).tobytes() + parts.tobytes()
    found = told(simulator(accelerator), stdin, seed)
    return _read(np.frombuffer(found, dtype=np.int64), accelerator, len(inputs.vectors))


def checked(accelerator: Accelerator, model: Model, inputs: Inputs, *, seed: int = 0, pauses: int = 0) -> Simulated:
    """Return what `simulate` does, every result compared with the reference.

    Raises:
        RunError: names the first result that differs.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    found = simulate(accelerator, model, inputs, seed=seed, pauses=pauses)
    expected = model.results(accelerator, inputs)
    for name in ("predictions", "items", "weights"):
        own, theirs = getattr(expected, name), getattr(found, name)
        if own is not None:
            compare(name, own, theirs, f"{accelerator}, seed {seed}")
    return found


def _loaded(accelerator: Accelerator, model: Model) -> Iterator[int]:
    """Yield what the harness loads."""
    if model.tree is not None:
        nodes = (model.tree.features << accelerator.input_width) | _unsigned(
            model.tree.thresholds, accelerator.input_width
        )
        yield from (len(nodes) + len(model.tree.leaves), *nodes.tolist())
        yield from _unsigned(model.tree.leaves, accelerator.internal_width).tolist()
        return
    yield from (model.rate, int(model.hinge)) if accelerator.pipeline == "training" else (_bias(accelerator, model),)
    rows = in_words(_in_parts(model.weights[None], accelerator), accelerator.internal_width)
    yield from rows.ravel().tolist()


def _bias(accelerator: Accelerator, model: Model) -> int:
    return int(_unsigned(np.array([model.bias]), accelerator.internal_width)[0])


def _unsigned(values: Integers, bits: int) -> Integers:
    return values & ((1 << bits) - 1)


def _in_parts(vectors: Integers, accelerator: Accelerator) -> Integers:
    """Return vectors, shape [inputs, dimension], as parts with zeros at the end, shape [inputs * cycles, lanes]."""
    missing = accelerator.cycles * accelerator.lanes - accelerator.dimension
    return np.pad(vectors, ((0, 0), (0, missing))).reshape(-1, accelerator.lanes)


def _unpacked(words: Integers, count: int, bits: int) -> Integers:
    """Return the first numbers with a sign of rows of words, shape [rows, words], shape [rows, numbers]."""
    flat = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")[:, : count * bits]
    weights: NDArray[np.int64] = 1 << np.arange(bits)
    weights[-1] = -weights[-1]
    return np.asarray(flat.reshape(len(words), count, bits) @ weights, dtype=np.int64)


def _read(words: Integers, accelerator: Accelerator, inputs: int) -> Simulated:
    first, predicted, predictions, stepped = words[: 4 * inputs].reshape(4, inputs)
    bits = accelerator.internal_width
    predictions = _unpacked(predictions[:, None], 1, bits)[:, 0]
    if accelerator.pipeline != "training":
        return Simulated(first, predicted, predictions, stepped, None, None)
    rest = words[4 * inputs :].reshape(-1, words_of(accelerator.lanes * bits))
    numbers = _unpacked(rest, accelerator.lanes, bits).reshape(-1, accelerator.cycles * accelerator.lanes)
    numbers = numbers[:, : accelerator.dimension]
    items = numbers[:-1] if accelerator.algorithm == "recommender" else None
    return Simulated(first, predicted, predictions, stepped, items, numbers[-1])
