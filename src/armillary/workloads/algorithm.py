"""Small machine-learning algorithms: what a model computes as a whole, where it is one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AlgorithmName = Literal["linear_regression", "logistic_regression", "svm", "recommender", "decision_tree"]
ALGORITHMS: tuple[AlgorithmName, ...] = (
    "linear_regression", "logistic_regression", "svm", "recommender", "decision_tree",
)  # fmt: skip
Mode = Literal["inference", "training"]
MODES: tuple[Mode, ...] = ("inference", "training")


@dataclass(frozen=True)
class Tree:
    """A decision tree whose nodes are numbered as in a heap: the root is 0, the children of n are 2n + 1 and 2n + 2.

    Every path has `depth` nodes; a leaf higher up is repeated as all leaves below it.

    Attributes:
        features: which element of the input each node compares, shape [2^depth - 1].
        thresholds: an input goes on to the second child where its element exceeds them, of the same shape.
        leaves: the results, shape [2^depth]: values, or numbers of classes.
    """

    features: tuple[int, ...]
    thresholds: tuple[float, ...]
    leaves: tuple[float, ...]

    def __post_init__(self) -> None:
        nodes = len(self.leaves) - 1
        if nodes < 1 or nodes & (nodes + 1) or len(self.features) != nodes or len(self.thresholds) != nodes:
            raise ValueError(
                f"a tree of {len(self.features)} features, {len(self.thresholds)} thresholds and {len(self.leaves)} "
                "leaves is not allowed; it has 2^depth - 1 nodes and 2^depth leaves"
            )

    @property
    def depth(self) -> int:
        """Nodes of every path."""
        return len(self.leaves).bit_length() - 1


@dataclass(frozen=True)
class Algorithm:
    """An algorithm on vectors.

    A prediction is s = w * x + bias (linear regression; recommender, w and x the factors of a user and an item), its
    logistic function, or its sign (support vector machine). A step of training, for an input x with label y, is
    w := w - rate * e * x, with e the prediction less y; a recommender's is also x := x - rate * e * w. For a support
    vector machine e is -y where y * s < 1 and else 0, the subgradient of the hinge loss, unless `hinge` says otherwise.

    Attributes:
        name: which.
        mode: inference, or one step of training per input.
        dimension: elements of an input.
        weights: shape [dimension]; None where they come with the input.
        bias: of inference.
        rate: of training.
        hinge: the support vector machine's e is not 0 where y * s < 1; else where y * s > y.
        tree: the decision tree.
    """

    name: AlgorithmName
    mode: Mode
    dimension: int
    weights: tuple[float, ...] | None = None
    bias: float = 0.0
    rate: float = 1.0
    hinge: bool = True
    tree: Tree | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != self.dimension:
            raise ValueError(f"{len(self.weights)} weights are not allowed; dimension={self.dimension}")
        if (self.tree is not None) != (self.name == "decision_tree"):
            raise ValueError(f"algorithm {self.name!r} with tree={self.tree!r} is not allowed")

    @property
    def depth(self) -> int:
        """Levels of the decision tree; 1 for all other algorithms."""
        return 1 if self.tree is None else self.tree.depth
