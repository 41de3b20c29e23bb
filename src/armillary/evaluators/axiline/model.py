"""An algorithm as an accelerator holds it, inputs for it, and what the reference makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armillary.hardware.rtl.axiline.arithmetic import (
    FixedTree,
    Trained,
    predicted,
    scored,
    trained,
)
from armillary.hardware.rtl.fixed_point import Integers, bits_of, fixed
from armillary.hardware.templates.axiline import Accelerator
from armillary.types import Failure
from armillary.workloads.algorithm import Algorithm

_RANGE = 2.0
"""Data lie within minus this and this."""
_EXPONENTS = 32


@dataclass(frozen=True)
class Inputs:
    """A stream of inputs: vectors of shape [inputs, dimension], and a label of each, shape [inputs], for training."""

    vectors: Integers
    labels: Integers


@dataclass(frozen=True)
class Results:
    """What the reference makes of inputs; `weights` and `items` are None but in training, see `Trained`."""

    predictions: Integers
    weights: Integers | None = None
    items: Integers | None = None


@dataclass(frozen=True)
class Model:
    """What an accelerator is loaded with, as fixed-point numbers of its widths.

    Attributes:
        weights: shape [dimension]; of a decision tree none.
        bias: of inference.
        rate: of training, all bits but one after the point.
        hinge: see `Algorithm`.
        tree: the decision tree.
    """

    weights: Integers
    bias: int = 0
    rate: int = 0
    hinge: bool = True
    tree: FixedTree | None = None

    def results(self, accelerator: Accelerator, inputs: Inputs) -> Results:
        """Return what the reference makes of inputs."""
        if self.tree is not None:
            return Results(self.tree.decided(inputs.vectors))
        if accelerator.mode == "training":
            found: Trained = trained(
                accelerator, inputs.vectors, inputs.labels, self.weights, rate=self.rate, hinge=self.hinge
            )
            return Results(found.predictions, found.weights, found.items)
        return Results(predicted(accelerator, scored(accelerator, inputs.vectors, self.weights, self.bias)))


def misfit(algorithm: Algorithm, accelerator: Accelerator) -> Failure | None:
    """Return why an accelerator cannot run an algorithm, None if it can.

    It has to be made for the algorithm and its mode. It may have more elements, levels and bits than are needed.
    """
    if (algorithm.name, algorithm.mode) != (accelerator.algorithm, accelerator.mode):
        return Failure(
            "infeasible",
            "algorithm",
            detail=f"the workload is {algorithm.mode} of {algorithm.name}, the accelerator is made for "
            f"{accelerator.mode} of {accelerator.algorithm}",
        )
    for resource, needed, available in (
        ("dimension elements", algorithm.dimension, accelerator.dimension),
        ("depth levels", algorithm.depth, accelerator.depth),
        ("internal_width bits", _internal_bits(algorithm), accelerator.internal_width),
    ):
        if needed > available:
            return Failure("infeasible", resource, needed=float(needed), available=float(available))
    outside = [] if algorithm.tree is None else [t for t in algorithm.tree.thresholds if not -_RANGE <= t < _RANGE]
    if outside:
        detail = f"the threshold {outside[0]:g} is none of the numbers that data can be, -2 to 2; scale the features"
        return Failure("infeasible", "input_width bits", detail=detail)
    if algorithm.mode == "training" and not 1 <= _rate(algorithm, accelerator) < 1 << accelerator.internal_width:
        least = 2.0 ** -(accelerator.internal_width - 1)
        detail = f"the rate {algorithm.rate:g} is not from {least:g} to below 2"
        return Failure("infeasible", "internal_width bits", detail=detail)
    return None


def _internal_bits(algorithm: Algorithm) -> int:
    """Return the least internal width, half of it after the point, that holds an algorithm's constants."""
    leaves = () if algorithm.tree is None else algorithm.tree.leaves
    constants = np.array([algorithm.bias, *(algorithm.weights or ()), *leaves])
    return next(bits for bits in range(2, 2 * _EXPONENTS, 2) if bits_of(fixed(constants, bits // 2)) <= bits)


def _rate(algorithm: Algorithm, accelerator: Accelerator) -> int:
    return int(fixed(np.array(algorithm.rate), accelerator.internal_width - 1))


def model_of(algorithm: Algorithm, accelerator: Accelerator, rng: np.random.Generator) -> Model:
    """Return an algorithm as an accelerator that fits holds it; weights that come with the input are random."""
    if algorithm.tree is not None:
        return Model(np.zeros(0, dtype=np.int64), tree=FixedTree.of(algorithm.tree, accelerator))
    fraction = accelerator.internal_fraction
    given = algorithm.weights or rng.uniform(-1, 1, size=algorithm.dimension).tolist()
    weights = np.zeros(accelerator.dimension, dtype=np.int64)
    weights[: algorithm.dimension] = fixed(np.array(given), fraction)
    bias = int(fixed(np.array(algorithm.bias), fraction))
    rate = _rate(algorithm, accelerator) if algorithm.mode == "training" else 0
    return Model(weights, bias, rate, algorithm.hinge)


def random_inputs(accelerator: Accelerator, count: int, rng: np.random.Generator) -> Inputs:
    """Return inputs for an accelerator: elements within -1 and 1, labels as its algorithm has them.

    Labels are -1 or 1 (support vector machine), 0 or 1 (logistic regression), else numbers within -1 and 1.
    """
    shape, one = (count, accelerator.dimension), 1 << accelerator.input_fraction
    vectors = fixed(rng.uniform(-1, 1, size=shape), accelerator.vector_fraction)
    classes = rng.integers(0, 2, size=count)
    labels = {"svm": (2 * classes - 1) * one, "logistic_regression": classes * one}
    other = fixed(rng.uniform(-1, 1, size=count), accelerator.input_fraction)
    return Inputs(vectors, labels.get(accelerator.algorithm, other))
