"""Tables of our own layouts, how they are split, and what models that learned a part say of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from armillary.benchmarks.parts import digest
from armillary.evaluators.physical.enablement import USUAL, technology_of
from armillary.log import shipped
from armillary.log.store import Log
from armillary.problems.rung import are_whole
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Member
from armillary.surrogates.ppa.graph import Architectures
from armillary.surrogates.ppa.stack import MEMBERS, Stack
from armillary.surrogates.rows import Scale
from armillary.types import ArmillaryError, Evaluations

METRICS = ("power_mw", "effective_mhz", "area_mm2", "energy_pj", "runtime_s")
PUBLISHED_ERROR = 7.0
"""Percent: the most of the mean error of any metric and platform (arXiv 2308.12120, abstract)."""
LEVEL = 0.9
FOLDS = 4
CLOCK = "clock_ns"

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Split = Literal["points", "architectures"]
SPLITS: tuple[Split, ...] = ("points", "architectures")


@dataclass(frozen=True)
class LayoutTable:
    """Finished layouts of one workload in one technology.

    Attributes:
        name: of the space and the workload, and of the technology if it is not NanGate45.
        space: of values that occur.
        codes: value indices, shape [layouts, parameters].
        metrics: by name, shape [layouts] each.
        noise: of each metric the mean of its deviation over seeds, in percent; none where each was laid out once.
        rows: as the log has them.
    """

    name: str
    space: Space
    codes: Integers
    metrics: Mapping[str, Floats]
    noise: Mapping[str, float]
    rows: Evaluations

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def architecture(self) -> Integers:
        """The number of each layout's architecture, shape [layouts]; designs of the same hardware have the same one."""
        return Architectures.of(self.space).hardware(self.codes)

    @cached_property
    def point(self) -> Integers:
        """The number of each layout's point of the back end, shape [layouts]."""
        return _numbered(self.codes[:, Architectures.of(self.space).knobs])

    @property
    def note(self) -> str:
        """What it holds, in a sentence."""
        counts = f"{self.architecture.max() + 1} architectures at {self.point.max() + 1} points of the back end"
        left_out = "".join(
            f"; unseen {split}: fewer than {FOLDS}, not asked" for split in SPLITS if not self.asks(split)
        )
        return f"{self.name}: {len(self)} finished layouts of {counts}{left_out}"

    def asks(self, split: Split) -> bool:
        """Return whether there are enough points, or architectures, to leave out a quarter again and again."""
        return int((self.point if split == "points" else self.architecture).max()) + 1 >= FOLDS

    @property
    def digest(self) -> str:
        """A short name of all that it holds."""
        return digest(repr([self.space, self.codes.tolist(), {n: v.tolist() for n, v in self.metrics.items()}]))

    def folds(self, split: Split, seed: int) -> list[tuple[Integers, Integers]]:
        """Return rows to learn and rows to ask, where every point, or every architecture, is asked once."""
        group = self.point if split == "points" else self.architecture
        order = np.random.default_rng(seed).permutation(group.max() + 1)
        asked = [np.isin(group, order[k::FOLDS]) for k in range(FOLDS)]
        return [(np.flatnonzero(~rows), np.flatnonzero(rows)) for rows in asked]


def tables_of(folder: Path | None, split: Split | None = None) -> list[LayoutTable]:
    """Return the tables of a folder, a log or several in folders of it; by default of those that ship with us.

    Args:
        folder: that is looked into.
        split: only tables that are large enough for it.

    Raises:
        ArmillaryError: if there is no such table.
    """
    root = folder or shipped.FOLDER
    places = [root, *sorted(path for path in root.glob("*") if path.is_dir())] if root.is_dir() else []
    logs = [Log(place) for place in places if any(place.glob("*.parquet"))]
    found = [table for log in logs for space in log.spaces() for table in _tables(log.evaluations(space))]
    if not found:
        raise ArmillaryError(
            f"{root}: holds no log of layouts; make one (armillary collect --fidelity physical) and name it with --data"
        )
    names = [table.name for table in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ArmillaryError(f"{root}: several logs have layouts of {twice[0]!r}; name a folder with one of them")
    large = [table for table in found if split is None or table.asks(split)]
    if not large:
        raise ArmillaryError(f"{root}: {FOLDS} {split} are needed; it has {'; '.join(table.note for table in found)}")
    return large


def _tables(rows: Evaluations) -> list[LayoutTable]:
    if CLOCK not in rows.design:
        return []
    rows = rows.select(rows.feasible & are_whole(rows))
    named = np.array([_name(rows, k) for k in range(len(rows))])
    return [_table(rows.select(named == name), str(name)) for name in np.unique(named)]


def _name(rows: Evaluations, row: int) -> str:
    technology = technology_of(rows, row)
    return f"{rows.space} {rows.workload[row]}" + (f" in {technology}" if technology != USUAL else "")


def _table(rows: Evaluations, title: str) -> LayoutTable:
    parameters = []
    for name, column in rows.design.items():
        values = sorted(set(column.tolist()))
        parameters.append(Parameter(name, tuple(values), "categorical" if isinstance(values[0], str) else "cardinal"))
    space = Space(rows.space, tuple(parameters))
    known = {name: rows.metrics[name] for name in METRICS}
    noise = {
        name: 100 * float(np.mean(rows.metrics[f"{name}_sd"] / values))
        for name, values in known.items()
        if f"{name}_sd" in rows.metrics
    }
    return LayoutTable(title, space, space.encode_columns(rows.design), known, noise, rows)


def _numbered(codes: Integers) -> Integers:
    return np.asarray(np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1), np.int64)


@dataclass(frozen=True)
class Told:
    """What a model says of layouts: `value`, and where it has them the ends of the 90% interval, shape [layouts]."""

    value: Floats
    low: Floats | None = None
    high: Floats | None = None


Model = Callable[[LayoutTable, str, Integers, Integers, Split, int], Told]


def with_members(kinds: Sequence[type[Member]], *, graph: bool = False) -> Model:
    """Return the ensemble of these kinds of members as a model, told the sums of the hierarchy graph or not."""

    def model(table: LayoutTable, metric: str, train: Integers, asked: Integers, split: Split, seed: int) -> Told:
        encoding, lesson, scale, points = lesson_of(table, metric, train, graph=graph)
        groups = table.architecture if split == "architectures" else table.point
        stack = Stack.learned(encoding, lesson, seed, groups=groups[train], kinds=kinds)
        told = stack.expected(points[asked])
        reach = stack.factor(LEVEL) * told.spread
        low, high = (scale.restore(told.mean + side * reach) for side in (-1, 1))
        return Told(scale.restore(told.mean), low, high)

    return model


def alone(kind: type[Member], *, graph: bool = False) -> Model:
    """Return one kind of member as a model, told the sums of the hierarchy graph or not."""

    def model(table: LayoutTable, metric: str, train: Integers, asked: Integers, _split: Split, seed: int) -> Told:
        encoding, lesson, scale, points = lesson_of(table, metric, train, graph=graph)
        return Told(scale.restore(kind.learned(encoding, lesson, seed).predict(points[asked])[0]))

    return model


def default_forest(table: LayoutTable, metric: str, train: Integers, asked: Integers, _split: Split, seed: int) -> Told:
    """Say what scikit-learn's random forest with its default settings says."""
    forest = RandomForestRegressor(random_state=seed, n_jobs=1)
    return Told(forest.fit(table.codes[train], table.metrics[metric][train]).predict(table.codes[asked]))


def lesson_of(
    table: LayoutTable, metric: str, train: Integers, *, graph: bool = False
) -> tuple[Encoding, Lesson, Scale, Points]:
    """Return what members learn of some rows, and all points."""
    values = table.metrics[metric][train]
    scale = Scale.of(values, "log")
    points = Points(table.codes, np.empty((len(table), 0)))
    lesson = Lesson(points[train], scale.standardise(values), np.zeros(len(train)), points[:0])
    space = Architectures.of(table.space).described() if graph else table.space
    return Encoding.of(space, (), False, points[train]), lesson, scale, points


def models(quick: bool) -> Mapping[str, Model]:
    """Return the models by name; a quick run has no graph network, whose fit takes longer than those of all others."""
    found = {"ppa": with_members(MEMBERS), "ppa-rtl": with_members(MEMBERS, graph=True)}
    if not quick:
        from armillary.surrogates.ppa.gcn import GraphNetwork  # which loads PyTorch Geometric

        found["ppa-gcn"] = with_members((*MEMBERS, GraphNetwork), graph=True)
    return found | {"random forest, default": default_forest}


def errors(told: Told, true: Floats) -> dict[str, list[float]]:
    """Return of each layout the absolute error in percent, and whether the interval holds it."""
    found = {"error": (100 * np.abs(told.value - true) / true).tolist()}
    if told.low is not None and told.high is not None:
        found["inside"] = ((told.low <= true) & (true <= told.high)).astype(float).tolist()
    return found


def summed_up(found: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Return mean, deviation and maximum of the errors of several folds, and the share that intervals hold."""
    off = np.concatenate([one["error"] for one in found])
    inside = np.concatenate([one.get("inside", []) for one in found])
    return {
        "asked": len(off), "mean_error": float(off.mean()), "sd_error": float(off.std()),
        "most_error": float(off.max()), "coverage": float(inside.mean()) if len(inside) else None,
    }  # fmt: skip
