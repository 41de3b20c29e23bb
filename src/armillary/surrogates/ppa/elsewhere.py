"""What layouts of other algorithms, platforms and technologies tell of a design: the first guess of `ppa-transfer`.

Designs of different spaces have no parameters in common, but their RTL and the knobs of the back end. So a layout is
described by the sums over its logical hierarchy graph (see `graph`) and the knobs, with the period over the slowness of
its technology (see `Enablement`): a period that is tight in one is then tight in the other.

Source: the splits "unseen platform" and "another node" are those that Esmaeilzadeh et al. (arXiv 2308.12120) leave to
few-shot learning; the description and the model are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from armillary.hardware.rtl import is_written
from armillary.metrics import with_derived
from armillary.problems.problem import Problem
from armillary.problems.rung import are_whole
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.learned import under
from armillary.surrogates.auto.member import Lesson, Parts
from armillary.surrogates.auto.process import Process
from armillary.surrogates.ppa.graph import FEATURES, Architectures
from armillary.surrogates.ppa.stack import MEMBERS, Stack
from armillary.surrogates.rows import Scale
from armillary.types import ArmillaryError, Evaluations

BY_CYCLES = ("delay_cycles", "runtime_s", "energy_pj", "energy_j", "edp_pj_cycles", "runtime_area_s_mm2")
"""Metrics that follow from a workload's cycles, which neither the RTL nor the knobs tell."""
FEWEST = 10
_KINDS = tuple(kind for kind in MEMBERS if kind is not Process)
"""A process over single parameters takes most of the time for hundreds of rows, and knobs are few."""
CLOCK = "clock_ns"
"""The knob whose values compare by the slowness of technologies."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Sources:
    """Layouts to learn from beforehand.

    Attributes:
        tables: rows, each of one space.
        slowness_of: of rows the slowness of the technology that each was laid out in, shape [rows].
    """

    tables: Sequence[Evaluations]
    slowness_of: Callable[[Evaluations], Floats]


@dataclass(frozen=True)
class Elsewhere:
    """A model of other layouts.

    Attributes:
        space: the knobs, with all values that any layout or design has.
        encoding: of points, whose features are the sums over the graph.
        stack: the regression.
        scale: of the metric's logarithm.
        metric: its name.
        layouts: that were learned from.
    """

    space: Space
    encoding: Encoding
    stack: Stack
    scale: Scale
    metric: str
    layouts: int

    @staticmethod
    def learned(sources: Sources, problem: Problem, asked: Mapping[str, set[Any]], seed: int) -> Elsewhere:
        """Return the model of the feasible layouts of several tables.

        Args:
            sources: the tables; those that lack the metric, or one of the knobs, tell nothing.
            problem: with the metric to learn, whose values are above zero.
            asked: of each knob the values, as `relative` has them, that will be asked for.
            seed: of the members.

        Raises:
            ArmillaryError: if the metric follows from a workload's cycles, or there are fewer than 10 layouts that
                have it.
        """
        metric = problem.metric
        if metric in BY_CYCLES:
            raise ArmillaryError(
                f"surrogate 'ppa-transfer' cannot predict {metric!r}, which follows from the workload's cycles, not "
                "from RTL and knobs; predict power_mw, effective_mhz or area_mm2, and the evaluator of fidelity "
                "analytical tells the cycles"
            )
        found = [LayoutsOf.of(rows, problem, tuple(asked), sources.slowness_of) for rows in sources.tables]
        tables = [table for table in found if table is not None]
        count = sum(len(table.values) for table in tables)
        if count < FEWEST:
            raise ArmillaryError(f"the sources have {count} feasible layouts with {metric!r}; {FEWEST} are needed")
        space = _space([asked, *(table.knobs for table in tables)])
        points = Points.joined([_points(space, table.knob_columns, table.totals) for table in tables])
        values = np.concatenate([table.values for table in tables])
        scale = Scale.of(values, "log")
        groups = np.unique(points.features, axis=0, return_inverse=True)[1].reshape(-1)  # architectures
        nowhere = points[:0]
        encoding = Encoding.of(space, FEATURES, False, points)
        lesson = Lesson(points, scale.standardise(values), np.zeros(count), nowhere)
        stack = Stack.learned(encoding, lesson, seed, groups=groups, kinds=_KINDS)
        return Elsewhere(space, encoding, stack, scale, metric, count)

    def logarithm(self, knobs: Mapping[str, Sequence[Any]], totals: Floats) -> Floats:
        """Return the logarithm of the metric that is expected of designs, shape [designs].

        Args:
            knobs: of each knob the designs' values, as `relative` has them.
            totals: the sums over their graphs, shape [designs, features].
        """
        told = self.stack.expected(_points(self.space, knobs, totals))
        return np.log(self.scale.restore(told.mean))

    def parts(self) -> Parts:
        """Return what `read` makes the model of again."""
        stack, tensors = self.stack.parts()
        values = [[p.name, list(p.values)] for p in self.space.parameters]
        content = {
            "knobs": values, "encoding": self.encoding.as_dict(), "stack": stack, "scale": vars(self.scale),
            "metric": self.metric, "layouts": self.layouts,
        }  # fmt: skip
        return content, {f"stack/{name}": tensor for name, tensor in tensors.items()}

    @staticmethod
    def read(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Elsewhere:
        """Return the model that `parts` described."""
        space = _space([{name: set(values) for name, values in content["knobs"]}])
        encoding = Encoding.from_dict(space, content["encoding"])
        stack = Stack.read(encoding, content["stack"], under("stack", tensors), _KINDS)
        return Elsewhere(space, encoding, stack, Scale(**content["scale"]), content["metric"], content["layouts"])


def relative(name: str, value: Any, slowness: float) -> Any:
    """Return the value of a knob as layouts of all technologies share it."""
    return round(float(value / slowness), 3) if name == CLOCK else value


@dataclass(frozen=True)
class LayoutsOf:
    """Layouts of one space, described as those of all: the metric, knobs by name, sums over graphs, a row each."""

    values: Floats
    knob_columns: Mapping[str, list[Any]]
    totals: Floats

    @staticmethod
    def of(
        rows: Evaluations, problem: Problem, knobs: Sequence[str], slowness_of: Callable[[Evaluations], Floats]
    ) -> LayoutsOf | None:
        """Return the layouts of a space that have the metric, none that stopped early; None if it has none."""
        space = rows.space
        derived = with_derived(rows.select(rows.feasible & are_whole(rows)), (problem.metric,), problem.metrics)
        if not (is_written(space) and set(knobs) <= set(rows.design)) or problem.metric not in derived.metrics:
            return None
        found = derived.select(np.isfinite(derived.metrics[problem.metric]))
        values = found.metrics[problem.metric]
        if (values <= 0).any():
            raise ArmillaryError(
                f"surrogate 'ppa-transfer' cannot predict {problem.metric!r}: {space} has {values.min():g}, and only "
                "values above zero have a logarithm"
            )
        slowness = slowness_of(found)
        columns = {
            name: [
                relative(name, value, slow) for value, slow in zip(found.design[name].tolist(), slowness, strict=True)
            ]
            for name in knobs
        }
        return LayoutsOf(values, columns, _totals(found))

    @property
    def columns(self) -> Floats:
        """The knobs and the logarithms of the sums, for models of others, shape [layouts, columns]."""
        knobs = [
            [float(value == "area") if name == "aim" else value for value in values]
            for name, values in self.knob_columns.items()
        ]
        return np.column_stack([*knobs, np.log2(1 + self.totals)])

    @property
    def knobs(self) -> dict[str, set[Any]]:
        """The values of each knob that occur."""
        return {name: set(column) for name, column in self.knob_columns.items()}


def _totals(rows: Evaluations) -> Floats:
    """Return the sums over the graphs of rows, shape [rows, features]."""
    own = Space(
        rows.space, tuple(Parameter(name, _ordered(set(column.tolist()))) for name, column in rows.design.items())
    )
    return Architectures.of(own).totals(own.encode_columns(rows.design))


def _space(values: Sequence[Mapping[str, set[Any]]]) -> Space:
    """Return the space of the knobs, in the order of the first, with all values that any has."""
    together = {name: _ordered(set().union(*(one[name] for one in values))) for name in values[0]}
    return Space(
        "layouts",
        tuple(
            Parameter(name, found, "categorical" if isinstance(found[0], str) else "cardinal")
            for name, found in together.items()
        ),
    )


def _ordered(values: set[Any]) -> tuple[Any, ...]:
    return tuple(sorted(values))


def _points(space: Space, knobs: Mapping[str, Sequence[Any]], totals: Floats) -> Points:
    places = {p.name: {value: k for k, value in enumerate(p.values)} for p in space.parameters}
    columns = [[places[name][value] for value in knobs[name]] for name in space.names]
    return Points(np.array(columns, dtype=np.int64).T.reshape(-1, len(space.names)), totals)
