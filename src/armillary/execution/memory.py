"""What the log of an executor knows already of candidates, and what the executor has found since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from armillary.execution.known import KnownRun, check_workload, given, known_layers, logged
from armillary.log.index import Fragment
from armillary.log.keys import Keys, hashes_of
from armillary.log.store import Log
from armillary.types import (
    Candidate,
    Design,
    Evaluation,
    Evaluations,
    EvaluatorSpec,
    LayerRun,
    MappedLayer,
    Value,
    options_text,
)
from armillary.workloads.layer import Layer, Workload

MOST_AT_HAND = 400_000
"""Rows of a log at hand beyond which a part of it is not kept whole; a row takes a kilobyte or so."""
Place = tuple[int, int]
"""A batch, and a row of it."""


@dataclass
class _Known:
    """The settled rows of one evaluator on one workload: keys of those in the log, and those at hand.

    Attributes:
        keys: of the log's rows that were not read yet, with the part that each is in.
        unread: by number, the parts of the log that were not read yet.
        rows: batches at hand.
        places: where in them each design stands.
        layers: runs of layers by place, where they are at hand.
        of_log: numbers of batches from the log, the runs of whose layers were not read yet.
        indexed: of which space and workload the keys are.
    """

    log: Log | None
    where: Mapping[str, str]
    keys: Keys = field(default_factory=Keys)
    unread: dict[int, tuple[Fragment, int]] = field(default_factory=dict)
    rows: list[Evaluations] = field(default_factory=list)
    places: dict[tuple[Value, ...], Place] = field(default_factory=dict)
    layers: dict[Place, tuple[LayerRun, ...]] = field(default_factory=dict)
    of_log: set[int] = field(default_factory=set)
    indexed: tuple[str, Workload] | None = None

    def index(self, space: str, workload: Workload) -> None:
        """Take the keys of the log's rows of a space; reads their parameters alone, a row group at a time.

        Raises:
            ArmillaryError: if they are of another workload of the same name.
        """
        assert self.log is not None
        table = self.log.of_evaluations
        if table.all():
            table.again(lambda: self._index(table.that_may_hold(space, self.where), workload))
        self.indexed = space, workload

    def _index(self, fragments: Sequence[Fragment], workload: Workload) -> None:
        assert self.log is not None
        check_workload(self.log, fragments, self.where, workload)
        self.keys, self.unread = Keys(), {}
        for fragment in fragments:
            hashes, numbers = list[NDArray[np.uint64]](), list[int]()
            for number, design in self.log.of_evaluations.designs(fragment, self.where):
                hashes.append(hashes_of(design))
                numbers.append(number)
            first = self.keys.add(hashes)
            self.unread |= {first + place: (fragment, number) for place, number in enumerate(numbers)}

    def read(self, design: Mapping[str, NDArray[np.generic]]) -> None:
        """Have those rows of these designs at hand that the log holds, with all that lies beside them."""
        if not self.unread or not design:
            return
        assert self.log is not None
        self.log.of_evaluations.again(lambda: self._read(design), self._index_again)

    def _index_again(self) -> None:
        """Ask the log anew where its rows lie: a compaction moved them."""
        assert self.indexed is not None
        self.index(*self.indexed)

    def _read(self, design: Mapping[str, NDArray[np.generic]]) -> None:
        """Read parts that may hold designs that are not at hand: whole while those are few, else the rows asked for.

        The part that may hold most of them is first; once they are found, others need not be read.
        """
        assert self.log is not None
        asked = list(_values(design))
        hashes = hashes_of(design)
        absent = np.array([values not in self.places for values in asked])
        for number, held in _most_first(*self.keys.found(hashes)):
            if number not in self.unread or not absent[held].any():
                continue
            rows = self.log.of_evaluations.group(*self.unread[number], self.where)
            if rows is None or sum(map(len, self.rows)) + len(rows) <= MOST_AT_HAND:
                del self.unread[number]
            else:
                rows = rows.select(np.isin(hashes_of(rows.design), hashes[absent]))
            if rows:
                self.of_log.add(len(self.rows))
                self.add(rows)
                absent[held] = [asked[place] not in self.places for place in held]

    def add(self, rows: Evaluations, layers: Sequence[tuple[LayerRun, ...]] = ()) -> None:
        """Take rows; those whose evaluation broke or ran out of time are not known: they are evaluated again."""
        settled = np.flatnonzero(rows.settled())
        part = len(self.rows)
        self.rows.append(rows)
        for row, values in zip(settled.tolist(), _values(rows.select(settled).design), strict=True):
            self.places[values] = part, row
            if layers and layers[row]:
                self.layers[part, row] = layers[row]

    def whole(self, place: Place) -> Evaluation:
        """Return the evaluation at a place with the runs of its layers, which are read by batch when first needed."""
        part, row = place
        if part in self.of_log:
            assert self.log is not None
            self.of_log.remove(part)
            found = self.log.layers_of(self.rows[part])
            self.layers |= {(part, row): runs for row, runs in enumerate(found) if runs}
        return replace(self.rows[part].row(row), layers=self.layers.get(place, ()))


class Memory:
    """Settled rows by evaluator and workload.

    Args:
        log: may be None, which knows nothing.
    """

    def __init__(self, log: Log | None) -> None:
        self._log = log
        self._known: dict[str, _Known] = {}
        self._alone: dict[str, dict[Design, list[KnownRun]]] = {}
        self._added_up: dict[str, set[tuple[object, ...]]] = {}

    def of(self, spec: EvaluatorSpec, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation | None]:
        """Return what is known of each candidate, the runs of its layers with it, and None for the others.

        A candidate that brings its mappings is never known: rows tell that mappings were given, but not which.
        """
        if not candidates or self._log is None:
            return [None] * len(candidates)
        known = self._of(spec, candidates[0].design.space, workload)
        known.read(_columns([candidate.design for candidate in candidates if candidate.mappings is None]))
        found: list[Evaluation | None] = []
        for candidate in candidates:
            values = tuple(candidate.design.as_dict().values())
            place = known.places.get(values) if candidate.mappings is None else None
            found.append(None if place is None else known.whole(place))
        return found

    def of_codes(
        self, spec: EvaluatorSpec, space: str, design: Mapping[str, NDArray[np.generic]], workload: Workload
    ) -> tuple[Evaluations | None, NDArray[np.int64]]:
        """Return the rows that are known of designs given in columns, and of each design its place in them, or -1."""
        if self._log is None:
            return None, np.full(len(next(iter(design.values()))), -1, dtype=np.int64)
        known = self._of(spec, space, workload)
        known.read(design)
        places = [known.places.get(values) for values in _values(design)]
        rows = np.full(len(places), -1, dtype=np.int64)
        found = [number for number, place in enumerate(places) if place is not None]
        if not found:
            return None, rows
        rows[found] = np.arange(len(found))
        return _gathered(known.rows, [place for place in places if place is not None]), rows

    def add(
        self,
        spec: EvaluatorSpec,
        rows: Evaluations,
        workload: Workload,
        layers: Sequence[tuple[LayerRun, ...]] = (),
    ) -> None:
        """Take rows that were just appended to the log, whose candidates brought no mappings, and their layers."""
        self._of(spec, rows.space, workload).add(rows, layers)

    def layers_of(self, spec: EvaluatorSpec, candidate: Candidate, layers: Sequence[Layer]) -> dict[str, LayerRun]:
        """Return those of the layers that have run alone on a candidate, under the mappings it brings, by name."""
        if self._log is None:
            return {}
        mappings = candidate.mappings or {}
        of_design = self._alone_of(spec, candidate.design.space).get(candidate.design, [])
        return {
            layer.name: known.run
            for layer in layers
            for known in of_design
            if known.answers(layer, mappings.get(layer.name))
        }

    def mapped_layer(self, spec: EvaluatorSpec, wanted: MappedLayer) -> LayerRun | None:
        """Return what is known of a mapped layer that ran alone, as one of the same network."""
        if self._log is None:
            return None
        for known in self._alone_of(spec, wanted.design.space).get(wanted.design, ()):
            if known.run.network == wanted.network and known.answers(wanted.layer, wanted.mapping):
                return known.run
        return None

    def add_layers(self, spec: EvaluatorSpec, runs: Sequence[KnownRun]) -> None:
        """Take runs of layers alone that were just appended to the log."""
        for known in runs:
            if known.run.failure is None or known.run.failure.kind == "infeasible":
                design = known.run.design
                self._alone_of(spec, design.space).setdefault(design, []).append(known)

    def is_first(self, spec: EvaluatorSpec, evaluation: Evaluation, workload: Workload) -> bool:
        """Return whether no equal evaluation of a candidate with mappings was logged or asked about before."""
        space, key = evaluation.design.space, repr((spec, workload.name))
        if key not in self._added_up:
            of_given = replace(spec, options=given(spec.options))
            rows = None if self._log is None else logged(self._log, space, workload, of_given)
            self._added_up[key] = set() if rows is None else set(map(_found_of, rows.to_list()))
        found, known = _found_of(evaluation), self._added_up[key]
        first = found not in known
        known.add(found)
        return first

    def _of(self, spec: EvaluatorSpec, space: str, workload: Workload) -> _Known:
        key = repr((spec, space, workload.name))
        if key not in self._known:
            of_spec = {"evaluator": spec.name, "version": spec.version, "options": options_text(spec.options)}
            self._known[key] = known = _Known(self._log, {"workload": workload.name, **of_spec})
            if self._log is not None:
                known.index(space, workload)
        return self._known[key]

    def _alone_of(self, spec: EvaluatorSpec, space: str) -> dict[Design, list[KnownRun]]:
        key = repr((spec, space))
        if key not in self._alone:
            self._alone[key] = {}
            for known in known_layers(self._log, spec, space) if self._log is not None else ():
                self._alone[key].setdefault(known.run.design, []).append(known)
        return self._alone[key]


def _found_of(evaluation: Evaluation) -> tuple[object, ...]:
    """Return what is the same where the same design ran under mappings that cost the same."""
    return evaluation.design, evaluation.feasible, tuple(sorted(evaluation.metrics.items()))


def _columns(designs: Sequence[Design]) -> dict[str, NDArray[np.generic]]:
    rows = [design.as_dict() for design in designs]
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}


def _values(design: Mapping[str, NDArray[np.generic]]) -> Iterator[tuple[Value, ...]]:
    return zip(*(column.tolist() for column in design.values()), strict=True)


def _most_first(places: NDArray[np.int64], parts: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each part with the places that it holds, the part with the most of them first, of equal ones the first."""
    order = np.argsort(parts, kind="stable")
    numbers, firsts = np.unique(parts[order], return_index=True)
    held = np.split(places[order], firsts[1:])
    for which in np.argsort([-len(each) for each in held[: len(numbers)]], kind="stable").tolist():
        yield int(numbers[which]), held[which]


def _gathered(parts: Sequence[Evaluations], places: Sequence[Place]) -> Evaluations:
    """Return rows of several batches, in the order of their places."""
    which = np.array(places)
    used = np.unique(which[:, 0])
    rows = Evaluations.concat([parts[part].select(which[which[:, 0] == part, 1]) for part in used.tolist()])
    order = np.argsort(np.concatenate([np.flatnonzero(which[:, 0] == part) for part in used.tolist()]))
    return rows.select(order)
