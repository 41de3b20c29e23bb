"""Template `axiline`: a small machine-learning algorithm as a pipeline of its own, after Axiline in VeriGOOD-ML.

Linear and logistic regression, support vector machine and recommender, which are a dot product and a little arithmetic
behind it, for inference or for training, a step of stochastic gradient descent per input; and decision trees, for
inference. A design is made for one algorithm. Its `dimension` elements come in over `cycles` cycles, so that it has
`lanes` = dimension / cycles multipliers: few cycles are fast and large, many are slow and small.

All numbers are fixed point. Data (`input_width` bits) lie within -2 and 2. Half the bits of weights, scores and
predictions (`internal_width`) are after the point.

Sources: Esmaeilzadeh et al., "An Open-Source ML-Based Full-Stack Optimization Framework for Machine Learning
Accelerators" (arXiv 2308.12120), whose Axiline has the parameters benchmark, size, number of cycles, bit width and
input bit width. The hardware, its number formats and the decision tree are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Choices, Template
from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Design
from armillary.workloads.algorithm import ALGORITHMS, MODES, AlgorithmName, Mode
from armillary.workloads.layer import Workload

Pipeline = Literal["inference", "training", "tree"]
LEAST_INPUT, MOST_INPUT = 4, 16
LEAST_INTERNAL, MOST_INTERNAL = 8, 24
MOST_DIMENSION = 1024
MOST_DEPTH = 8
_FILL = 4
"""Registers between the last elements of a vector and its prediction: products, sum, score, prediction."""


@dataclass(frozen=True)
class Accelerator:
    """One accelerator of the family, of the space or not.

    Attributes:
        algorithm: that it is made for.
        mode: `inference`, or `training` with a step of gradient descent per input.
        dimension: elements of an input.
        input_width: bits of data: of an input's elements (a recommender's are parameters), of labels and thresholds.
        internal_width: bits of parameters, scores and predictions; even, at least those of data.
        cycles: in which the elements of an input come in, at most as many as there are.
        depth: levels of a decision tree's nodes; 1 for all other algorithms.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    algorithm: AlgorithmName = "svm"
    mode: Mode = "training"
    dimension: int = 54
    input_width: int = 8
    internal_width: int = 16
    cycles: int = 9
    depth: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int) and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise ArmillaryError(f"{field.name}={value!r} is not allowed; it must be an integer")
        tree = self.algorithm == "decision_tree"
        modes = MODES[:1] if tree else MODES
        deepest = MOST_DEPTH if tree else 1
        for allowed, name, what in (
            (self.algorithm in ALGORITHMS, "algorithm", f"one of {list(ALGORITHMS)}"),
            (self.mode in modes, "mode", f"one of {list(modes)} for algorithm={self.algorithm!r}"),
            (1 <= self.dimension <= MOST_DIMENSION, "dimension", f"1 to {MOST_DIMENSION}"),
            (LEAST_INPUT <= self.input_width <= MOST_INPUT, "input_width", f"{LEAST_INPUT} to {MOST_INPUT}"),
            (
                LEAST_INTERNAL <= self.internal_width <= MOST_INTERNAL and self.internal_width % 2 == 0,
                "internal_width",
                f"even, {LEAST_INTERNAL} to {MOST_INTERNAL}",
            ),
            (self.internal_width >= self.input_width, "internal_width", f"at least input_width={self.input_width}"),
            (1 <= self.cycles <= self.dimension, "cycles", f"1 to dimension={self.dimension}"),
            (1 <= self.depth <= deepest, "depth", f"1 to {deepest} for algorithm={self.algorithm!r}"),
        ):
            if not allowed:
                raise ArmillaryError(f"{name}={getattr(self, name)!r} is not allowed; it must be {what}")

    @property
    def pipeline(self) -> Pipeline:
        """Which of the three pipelines it is."""
        return "tree" if self.algorithm == "decision_tree" else self.mode

    @property
    def lanes(self) -> int:
        """Elements that come in a cycle."""
        return -(-self.dimension // self.cycles)

    @property
    def input_fraction(self) -> int:
        """Bits of data after the point: one is before it, and one is the sign."""
        return self.input_width - 2

    @property
    def internal_fraction(self) -> int:
        """Bits of parameters and predictions after the point."""
        return self.internal_width // 2

    @property
    def vector_width(self) -> int:
        """Bits of an input's element: a recommender's inputs are the factors of items, parameters like its weights."""
        return self.internal_width if self.algorithm == "recommender" else self.input_width

    @property
    def vector_fraction(self) -> int:
        """Of these after the point."""
        return self.internal_fraction if self.algorithm == "recommender" else self.input_fraction

    @property
    def per_input_cycles(self) -> int:
        """Cycles from an input to the next, which in training has to wait until its first elements meet new weights."""
        return self.cycles + (_FILL + 1 if self.pipeline == "training" else 0)

    @property
    def latency_cycles(self) -> int:
        """Cycles from an input's first elements to its prediction, or to the last weight that it changes.

        The public system model of Axiline in VeriGOOD-ML has 2 * cycles + 1 for training.
        """
        return {
            "inference": self.cycles - 1 + _FILL,
            "training": self.cycles - 1 + _FILL + 1 + self.cycles,
            "tree": self.cycles - 1 + self.depth + 2,
        }[self.pipeline]

    def delay_cycles(self, inputs: int) -> int:
        """Return the cycles that a stream of inputs takes, from the first elements to the last result."""
        return self.per_input_cycles * (inputs - 1) + self.latency_cycles


def accelerator_of(design: Design) -> Accelerator:
    """Return the accelerator that a design of the space stands for, whose depth is none of its matter but for a tree.

    A search then meets no wall at every depth but one, which it would for all algorithms but one.

    Raises:
        ArmillaryError: if its values do not go together.
    """
    values = design.as_dict()
    return Accelerator(**values if values["algorithm"] == "decision_tree" else values | {"depth": 1})  # type: ignore[arg-type]


def _exists(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which coded designs there can be, shape [designs]: those that `Accelerator` takes."""
    columns = SPACE.columns(codes)
    return np.asarray(
        (columns["cycles"] <= columns["dimension"])
        & (columns["input_width"] <= columns["internal_width"])
        & ((columns["algorithm"] != "decision_tree") | (columns["mode"] == "inference"))
    )


def _choices(workload: Workload) -> Choices:
    """Return the values of a design for an algorithm: it is made for it, and has its elements and levels at least."""
    algorithm = workload.algorithm
    if algorithm is None:  # the evaluator refuses it
        return {}
    deep = algorithm.name == "decision_tree"
    return {
        "algorithm": (algorithm.name,),
        "mode": (algorithm.mode,),
        "dimension": range(algorithm.dimension, MOST_DIMENSION + 1),
        "depth": range(algorithm.depth, MOST_DEPTH + 1) if deep else (1,),
    }


SPACE = Space(
    "axiline",
    (
        Parameter("algorithm", ALGORITHMS, kind="categorical"),
        Parameter("mode", MODES, kind="categorical"),
        Parameter("dimension", tuple(range(1, 129)), unit="elements"),
        Parameter("input_width", (4, 8, 12, 16), unit="bits"),
        Parameter("internal_width", (8, 12, 16, 24), unit="bits"),
        Parameter("cycles", tuple(range(1, 65)), unit="cycles"),
        Parameter("depth", tuple(range(1, MOST_DEPTH + 1)), unit="levels of a tree"),
    ),
)
_DEFAULTS = {name: getattr(Accelerator(), name) for name in SPACE.names}
TEMPLATE = Template(
    name="axiline",
    space=SPACE,
    objectives=(Objective("runtime_s"),),
    exists=_exists,
    defaults=_DEFAULTS,
    baseline=SPACE.design_from(_DEFAULTS, "axiline"),
    baseline_name="Axiline",
    baseline_note="training of a support vector machine with 54 features in 9 cycles",
    choices=_choices,
)
