"""Import of the public dataset of PRIME: TFRecord files with one accelerator per record.

Source: Kumar et al., "Data-Driven Offline Optimization for Architecting Hardware Accelerators"
(ICLR 2022), public release `gs://gresearch/prime/<application>/*.tfrecord`. Its parameters have no
names; `PARAMETERS` matches them to ours by the length of their value lists and the designs of
Table 12. The release leaves open which of the first two is the width of the array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.log.columns import same_text
from armillary.log.faults import Faults
from armillary.log.tfrecord import Record, example_class, read_records
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Evaluations, Fidelity

PARAMETERS: Mapping[str, str] = {
    "param_1": "pes_x",
    "param_2": "pes_y",
    "param_3": "lanes",
    "param_4": "cores",
    "param_5": "pe_memory_bytes",
    "param_6": "core_memory_bytes",
    "param_7": "activation_memory_entries",
    "param_8": "instruction_memory_entries",
    "param_9": "parameter_memory_entries",
    "param_10": "dram_bandwidth_gbps",
}
EVALUATOR = "prime_dataset"
_FLOATS = (*PARAMETERS, "runtime", "area")


@dataclass(frozen=True)
class _Batch:
    """Features of some records: `floats` of shape [records, features of _FLOATS], NaN where absent."""

    path: Path
    numbers: NDArray[np.int64]
    floats: NDArray[np.float64]
    infeasible: NDArray[np.bool_]

    def feature(self, name: str) -> NDArray[np.float64]:
        return self.floats[:, _FLOATS.index(name)]


def import_prime_tfrecords(
    paths: Sequence[str | Path],
    workload: str,
    space: Space,
    *,
    context: Mapping[str, float] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Evaluations:
    """Return the records of TFRecord files as evaluations of one workload.

    `runtime` (ms) becomes `runtime_s` and `area` `area_mm2`. An infeasible record fails without a
    stated resource; its runtime means nothing and becomes NaN, its area is kept where positive. The
    rows cost us nothing (`seconds` 0) and carry the time of the import (UTC).

    Args:
        paths: TFRecord files of one application.
        workload: our name of that application.
        space: a space with the ten parameters of `PARAMETERS`.
        context: features of the workload for contextual surrogates, if known.
        progress: called with the number of records read since the last call.

    Raises:
        ArmillaryError: if a file cannot be read or is damaged, or lists every feature that is missing
            or has a value that the space does not allow, by file and record.
    """
    parameters = _parameters(space)
    if not paths:
        raise ArmillaryError("no TFRecord files to import")
    faults = Faults("PRIME dataset")
    batches = []
    for path in map(Path, paths):
        for records in read_records(path):
            batch = _parse(path, records, faults)
            _check(batch, parameters, faults)
            batches.append(batch)
            if progress is not None:
                progress(len(records))
    faults.check()
    return _evaluations(batches, parameters, space, workload, context or {})


def _parameters(space: Space) -> dict[str, Parameter]:
    ours = {parameter.name: parameter for parameter in space.parameters}
    if set(ours) != set(PARAMETERS.values()):
        raise ArmillaryError(
            f"the PRIME dataset does not fit space {space.name!r} with parameters {list(ours)}; "
            f"it has {list(PARAMETERS.values())}"
        )
    return {feature: ours[name] for feature, name in PARAMETERS.items()}


def _parse(path: Path, records: Sequence[Record], faults: Faults) -> _Batch:
    floats = np.full((len(records), len(_FLOATS)), np.nan)
    infeasible = np.zeros(len(records), dtype=bool)
    example = example_class()
    for row, record in enumerate(records):
        try:
            features = example.FromString(record.data).features.feature
        except Exception as fault:  # protobuf's DecodeError has no stable home between its versions
            raise ArmillaryError(f"{path}: record {record.number} is no tf.train.Example: {fault}") from fault
        place = f"{path}: record {record.number}"
        for column, name in enumerate(_FLOATS):
            values = features[name].float_list.value  # an absent feature reads as an empty list
            if len(values) == 1:
                floats[row, column] = values[0]
                if name in PARAMETERS and np.isnan(values[0]):
                    faults.add(f"{place}: {name}={values[0]:g} is not allowed; a parameter is a number")
            elif name in PARAMETERS or values or features[name].WhichOneof("kind"):
                faults.add(f"{place}: {name} must hold one float, it holds {_shown(features[name])}")
        flag = features["infeasible"].int64_list.value
        if len(flag) != 1 or flag[0] not in (0, 1):
            faults.add(f"{place}: infeasible must hold one integer, 0 or 1; it holds {_shown(features['infeasible'])}")
        else:
            infeasible[row] = flag[0]
    return _Batch(path, np.array([r.number for r in records], dtype=np.int64), floats, infeasible)


def _shown(feature: Any) -> str:
    kind = feature.WhichOneof("kind")
    return f"{kind} {list(getattr(feature, kind).value)[:4]}" if kind else "nothing"


def _check(batch: _Batch, parameters: Mapping[str, Parameter], faults: Faults) -> None:
    for feature, parameter in parameters.items():
        column = batch.feature(feature)
        wrong = ~np.isin(column, np.array(parameter.values, dtype=float)) & ~np.isnan(column)
        _report(batch, feature, wrong, f"choose one of {list(parameter.values)} ({parameter.name})", faults)
    for feature in ("runtime", "area"):
        column = batch.feature(feature)
        wrong = ~batch.infeasible & ~(np.isfinite(column) & (column > 0))
        _report(batch, feature, wrong, "a feasible record states a positive number", faults)


def _report(batch: _Batch, feature: str, wrong: NDArray[np.bool_], allowed: str, faults: Faults) -> None:
    for row in np.flatnonzero(wrong):
        value = float(batch.feature(feature)[row])
        faults.add(f"{batch.path}: record {batch.numbers[row]}: {feature}={value:g} is not allowed; {allowed}")


def _evaluations(
    batches: Sequence[_Batch],
    parameters: Mapping[str, Parameter],
    space: Space,
    workload: str,
    context: Mapping[str, float],
) -> Evaluations:
    infeasible = np.concatenate([batch.infeasible for batch in batches])
    rows = len(infeasible)
    columns = {name: np.concatenate([batch.feature(name) for batch in batches]) for name in _FLOATS}
    design = {p.name: columns[feature].astype(type(p.values[0])) for feature, p in parameters.items()}
    area = np.where(columns["area"] > 0, columns["area"], np.nan)
    return Evaluations(
        space=space.name,
        design={name: design[name] for name in space.names},
        workload=same_text(workload, rows),
        context={name: np.full(rows, float(value)) for name, value in context.items()},
        evaluator=same_text(EVALUATOR, rows),
        version=same_text("", rows),
        fidelity=same_text(str(Fidelity.EXTERNAL), rows),
        metrics={"runtime_s": np.where(infeasible, np.nan, columns["runtime"] / 1000), "area_mm2": area},
        feasible=~infeasible,
        failure_kind=np.where(infeasible, "infeasible", "").astype(object),
        failure_resource=same_text("", rows),
        failure_layer=same_text("", rows),
        failure_needed=np.full(rows, np.nan),
        failure_available=np.full(rows, np.nan),
        failure_detail=np.where(infeasible, "unstated", "").astype(object),
        seconds=np.zeros(rows),
        seed=np.zeros(rows, dtype=np.int64),
        time=np.full(rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")),
        options=same_text("", rows),
    )
