"""Layer runs of a log as what a surrogate of layers learns from: arrays, and groups to hold rows out by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.execution.known import without_origin
from armillary.log.columns import numbered
from armillary.log.layer_runs import LAYER_FIELDS, LayerRuns
from armillary.log.store import Log
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, LayerRun, MappedLayer, options_from, options_text
from armillary.workloads.layer import Layer

METRICS = ("delay_cycles", "energy_pj")
_EVALUATED_BY = ("fidelity", "evaluator", "version", "options")


@dataclass(frozen=True)
class LayerDataset:
    """Mapped layers of one space and what one evaluator found of each; arrays have shape [rows] if not said otherwise.

    Rows whose evaluation broke or ran out of time are not among them: nobody knows what they are worth.

    Attributes:
        codes: the designs, as value indices, shape [rows, parameters].
        mapped: design, layer as the hardware runs it, mapping and network.
        delay_cycles: of one run of the layer; NaN where it is infeasible.
        energy_pj: likewise.
        feasible: whether the design runs the layer under the mapping.
        hardware: a number that is equal where the designs are.
        layer: a number that is equal where the layers are the same work, whatever their names and networks.
        network: a number that is equal where the layers were taken from the same network.
        networks: names by that number; "" where nobody said.
    """

    codes: NDArray[np.int64]
    mapped: tuple[MappedLayer, ...]
    delay_cycles: NDArray[np.float64]
    energy_pj: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    hardware: NDArray[np.int64]
    layer: NDArray[np.int64]
    network: NDArray[np.int64]
    networks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.mapped)

    @property
    def layers(self) -> list[Layer]:
        """The layer of each row."""
        return [one.layer for one in self.mapped]

    @property
    def mappings(self) -> list[str]:
        """The mapping of each row as text."""
        return [one.mapping for one in self.mapped]

    @staticmethod
    def of_runs(space: Space, runs: Sequence[LayerRun]) -> LayerDataset:
        """Return runs of layers, at least one, as rows; those that broke are to be left out before."""
        metrics = {name: np.array([run.metrics.get(name, np.nan) for run in runs], dtype=float) for name in METRICS}
        codes = space.encode([run.design for run in runs])
        texts, network = np.unique([run.network for run in runs], return_inverse=True)
        fields = [np.array([getattr(run.layer, name) for run in runs]) for name in LAYER_FIELDS]
        return LayerDataset(
            codes=codes,
            mapped=tuple(MappedLayer(run.design, run.layer, run.mapping, run.network) for run in runs),
            feasible=np.array([run.failure is None for run in runs], dtype=bool),
            hardware=numbered(list(codes.T)),
            layer=numbered(fields),
            network=network.reshape(-1).astype(np.int64),
            networks=tuple(texts.tolist()),
            **metrics,
        )

    def select(self, rows: NDArray[Any]) -> LayerDataset:
        """Return chosen rows (boolean mask or indices); groups keep their numbers."""
        chosen = np.arange(len(self))[rows]
        return LayerDataset(
            codes=self.codes[chosen],
            mapped=tuple(self.mapped[row] for row in chosen.tolist()),
            networks=self.networks,
            **{name: getattr(self, name)[chosen] for name in (*METRICS, "feasible", "hardware", "layer", "network")},
        )


def layer_dataset(log: Log, space: Space, *, fidelity: str | None = None, networks: Sequence[str] = ()) -> LayerDataset:
    """Return the layer runs of a log.

    Where a mapped layer was run more than once, the last row counts.

    Args:
        log: to read.
        space: whose designs.
        fidelity: only rows of this fidelity; may be left out where the log holds one.
        networks: only layers of these; all, if none is named.

    Raises:
        ArmillaryError: if nothing is left; if rows of several evaluators are, whose answers are not comparable; if a
            row lacks a metric, or a value is none of the space.
    """
    rows = log.layer_runs(space.name)
    held = sorted(set(rows.fidelity.tolist()))
    if fidelity is None and len(held) > 1:
        raise ArmillaryError(f"{log.path}: holds layer runs of fidelities {held}; name one")
    kept = (rows.feasible | (rows.failure_kind == "infeasible")) & (rows.mapping != "")
    if fidelity is not None:
        kept &= rows.fidelity == fidelity
        if not kept.any():
            raise ArmillaryError(f"{log.path}: holds no layer run of fidelity {fidelity!r}; it has {held}")
    names = np.where(rows.workload == "", rows.network, rows.workload).astype(object)
    if networks:
        missing = [name for name in networks if name not in names[kept]]
        if missing:
            known = sorted(set(names[kept].tolist()))
            raise ArmillaryError(f"{log.path}: has no layer run of network {missing[0]!r}; it has {known}")
        kept &= np.isin(names.astype(str), networks)
    if not kept.any():
        raise ArmillaryError(f"{log.path}: holds no layer run that ended")
    return _dataset(log, space, rows.select(kept), names[kept])


def _dataset(log: Log, space: Space, rows: LayerRuns, names: NDArray[np.object_]) -> LayerDataset:
    _check_one_evaluator(log, rows)
    layer = numbered([getattr(rows, name) for name in (*LAYER_FIELDS, "bits")])
    last = _last([*rows.design.values(), layer, names, rows.mapping])
    rows, names, layer = rows.select(last), names[last], layer[last]
    codes = space.encode_columns(rows.design)
    found = {name: rows.metrics.get(name, np.full(len(rows), np.nan)) for name in METRICS}
    for name, column in found.items():
        if np.isnan(column[rows.feasible]).any():
            raise ArmillaryError(f"{log.path}: a feasible layer run has no {name}; models learn from rows that have it")
    texts, network = np.unique(names.astype(str), return_inverse=True)
    runs = rows.to_list()
    mapped = tuple(
        MappedLayer(run.design, run.layer, run.mapping, name) for run, name in zip(runs, names.tolist(), strict=True)
    )
    return LayerDataset(
        codes=codes,
        mapped=mapped,
        feasible=rows.feasible,
        hardware=numbered(list(codes.T)),
        layer=numbered([layer]),
        network=network.reshape(-1).astype(np.int64),
        networks=tuple(texts.tolist()),
        **found,
    )


def _check_one_evaluator(log: Log, rows: LayerRuns) -> None:
    """Refuse rows of several evaluators; who brought the mapping makes no difference."""
    columns = [getattr(rows, name) for name in _EVALUATED_BY]
    plain = columns[-1].copy()
    for text in set(plain.tolist()):
        plain[plain == text] = options_text(without_origin(options_from(text)))
    different = sorted(set(zip(*(column.tolist() for column in (*columns[:-1], plain)), strict=True)))
    if len(different) > 1:
        told = ["{1} {2} at {0}, options {3}".format(*one) for one in different]
        raise ArmillaryError(
            f"{log.path}: holds layer runs of several evaluators: {'; '.join(told)}; use a log for each"
        )


def _last(columns: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Return the last row of each kind of rows that are equal in all columns, in order."""
    numbers = numbered(columns)[::-1]
    first = np.unique(numbers, return_index=True)[1]
    return np.sort(len(numbers) - 1 - first)
