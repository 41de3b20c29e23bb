"""What the hardware computes, bit for bit, by NumPy: the reference of `blocks`.

All numbers are integers that stand for fixed-point numbers; `Accelerator` says how many of their bits are after the
point. No product and no sum is beyond 63 bits for any accelerator that there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armillary.hardware.rtl.fixed_point import Integers, fixed, requantized, sigmoid
from armillary.hardware.templates.axiline import Accelerator
from armillary.workloads.algorithm import Tree


@dataclass(frozen=True)
class Trained:
    """What a stream of training steps makes.

    Attributes:
        predictions: of each input, by the weights before its step, shape [inputs].
        weights: after the last step, shape [dimension].
        items: a recommender's new item factors, shape [inputs, dimension]; else None.
    """

    predictions: Integers
    weights: Integers
    items: Integers | None


def predicted(accelerator: Accelerator, scores: Integers) -> Integers:
    """Return what an algorithm makes of scores, of the same shape."""
    one = 1 << accelerator.internal_fraction
    if accelerator.algorithm == "logistic_regression":
        return sigmoid(scores, accelerator.internal_fraction)
    if accelerator.algorithm == "svm":
        return np.where(scores < 0, -one, one)
    return scores


def scored(accelerator: Accelerator, vectors: Integers, weights: Integers, bias: int = 0) -> Integers:
    """Return scores, shape [inputs].

    Args:
        accelerator: whose numbers these are.
        vectors: shape [inputs, dimension].
        weights: shape [dimension].
        bias: with the fraction of weights.
    """
    sums = vectors @ weights + (bias << accelerator.vector_fraction)
    return requantized(sums, accelerator.vector_fraction, accelerator.internal_width)


def trained(
    accelerator: Accelerator,
    vectors: Integers,
    labels: Integers,
    weights: Integers,
    *,
    rate: int,
    hinge: bool = True,
) -> Trained:
    """Return what a step of training for each input makes, one after another.

    Args:
        accelerator: whose numbers these are.
        vectors: shape [inputs, dimension].
        labels: shape [inputs], with the fraction of data.
        weights: before the first step, shape [dimension].
        rate: all of its bits but one are after the point.
        hinge: see `Algorithm`.
    """
    bits, fraction = accelerator.internal_width, accelerator.internal_fraction
    predictions, items = np.zeros(len(vectors), dtype=np.int64), np.zeros_like(vectors)
    for number, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        score = scored(accelerator, vector[None], weights)
        predictions[number] = predicted(accelerator, score)[0]
        gradient = _gradient(accelerator, int(score[0]), int(predictions[number]), int(label), rate, hinge=hinge)
        items[number] = requantized((vector << fraction) - gradient * weights, fraction, bits)
        drop = accelerator.vector_fraction
        weights = requantized((weights << drop) - gradient * vector, drop, bits)
    return Trained(predictions, weights, items if accelerator.algorithm == "recommender" else None)


def _gradient(accelerator: Accelerator, score: int, prediction: int, label: int, rate: int, *, hinge: bool) -> int:
    """Return rate times error."""
    fraction = accelerator.internal_fraction
    point = max(fraction, accelerator.input_fraction)
    if accelerator.algorithm == "svm":
        sign, one = (-1 if label < 0 else 1), 1 << fraction
        holds = sign * score < one if hinge else sign * score > sign * one
        error = -sign << point if holds else 0
    else:
        error = (prediction << (point - fraction)) - (label << (point - accelerator.input_fraction))
    drop = point + accelerator.internal_width - 1 - fraction
    return int(requantized(np.array(error * rate), drop, accelerator.internal_width))


@dataclass(frozen=True)
class FixedTree:
    """A decision tree as an accelerator holds it.

    Attributes:
        features: which element of the input each node compares, shape [2^depth - 1].
        thresholds: with the fraction of data, of the same shape.
        leaves: with the fraction of predictions, shape [2^depth].
    """

    features: Integers
    thresholds: Integers
    leaves: Integers

    @staticmethod
    def of(tree: Tree, accelerator: Accelerator) -> FixedTree:
        """Return a tree with an accelerator's depth and numbers.

        A threshold is rounded down: an input that is a fixed-point number exceeds it then if and only if it exceeds
        the threshold itself.

        Args:
            tree: whose thresholds are numbers that data can be.
            accelerator: at least as deep.
        """
        more = accelerator.depth - tree.depth
        padded = [(0, 0.0)] * ((1 << accelerator.depth) - (1 << tree.depth))
        nodes = [*zip(tree.features, tree.thresholds, strict=True), *padded]
        thresholds = np.floor(np.array([t for _, t in nodes]) * 2.0**accelerator.input_fraction).astype(np.int64)
        return FixedTree(
            np.array([feature for feature, _ in nodes], dtype=np.int64),
            thresholds,
            np.repeat(fixed(np.array(tree.leaves), accelerator.internal_fraction), 1 << more),
        )

    def decided(self, vectors: Integers) -> Integers:
        """Return the leaves' values of inputs of shape [inputs, dimension], shape [inputs]."""
        node = np.zeros(len(vectors), dtype=np.int64)
        for _ in range(len(self.leaves).bit_length() - 1):
            exceeds = vectors[np.arange(len(vectors)), self.features[node]] > self.thresholds[node]
            node = 2 * node + 1 + exceeds
        return self.leaves[node - len(self.features)]
