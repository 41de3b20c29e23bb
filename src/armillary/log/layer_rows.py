"""Rows of a user's CSV file that are to be evaluated or predicted: mapped layers, or whole designs.

A file of mapped layers has the columns that layer runs have in the log, so that what `armillary log export` writes can
be read. Rows are numbered as a spreadsheet does: the header is row 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.mapping import Mapping as LayerMapping
from armillary.log.columns import objects, same_text
from armillary.log.exchange import TRUTH
from armillary.log.faults import FIRST_ROW, Faults, near_to
from armillary.log.layer_runs import LAYER_FIELDS, LayerRuns
from armillary.log.schema import CONTEXT_PREFIX, FAILURE_COLUMN, SPACE_COLUMN
from armillary.log.sheet import Column, Sheet, read_table
from armillary.metrics import METRICS
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design, Evaluations, MappedLayer, Value
from armillary.workloads.layer import Layer

BOUNDS = ("N", "K", "C", "P", "Q", "R", "S")
"""Columns of numbers that every file of layers has."""
ONES = ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups", "outputs_per_bias")
"""Columns of numbers that are 1 where they are missing."""
GROUPS = "G"
"""Another name for `groups`, that of the loop in mappings."""
KINDS = ("conv", "depthwise", "gemm")


@dataclass(frozen=True)
class LayerRows:
    """Mapped layers of a file.

    Attributes:
        path: of the file.
        rows: in its order; row i stands in line i + 2.
        unused: columns of the file that say nothing about them.
    """

    path: Path
    rows: tuple[MappedLayer, ...]
    unused: tuple[str, ...]

    def refuse(self, faults: Mapping[int, str]) -> None:
        """Raise if mappings are none of their layers.

        Args:
            faults: by number of the row, what is wrong with its mapping.

        Raises:
            ArmillaryError: names the file, and every row with its mapping.
        """
        found = Faults(str(self.path))
        for number, fault in faults.items():
            found.add(f"row {number + FIRST_ROW}: mapping={self.rows[number].mapping!r} is not allowed; {fault}")
        found.check()


@dataclass(frozen=True)
class DesignRows:
    """Whole designs of a file, on workloads.

    Attributes:
        codes: shape [rows, parameters].
        workloads: the name or file of each one's workload, shape [rows].
        unused: columns of the file that say nothing about them.
    """

    codes: NDArray[np.int64]
    workloads: NDArray[np.object_]
    unused: tuple[str, ...]


def read_layer_rows(path: Path, space: Space, defaults: Mapping[str, Value]) -> LayerRows:
    """Return the mapped layers of a CSV or Parquet file.

    Columns: `mapping` and those of `BOUNDS`, which every file has; those of `ONES`; `kind` (`conv` where missing),
    `bias` and `dynamic` (false); `layer`, a name, made of the bounds where missing; `network`, else `workload`; and
    the parameters of the space.

    Args:
        path: of the file.
        space: of the designs.
        defaults: values of parameters that have no column.

    Raises:
        ArmillaryError: if the file cannot be read; or names every column that is missing or misspelt, or every row,
            column and value that is not allowed.
    """
    reader = _Reader(path, space, defaults, needed=("mapping", *BOUNDS), read=_READ_OF_LAYERS)
    designs, layers = reader.designs(), reader.layers()
    reader.refuse_widths()
    mappings, networks = reader.mappings(), reader.text("network", reader.text("workload", ""))
    reader.faults.check()
    rows = zip(designs, layers, mappings.tolist(), networks.tolist(), strict=True)
    return LayerRows(path, tuple(MappedLayer(*row) for row in rows), reader.unused)


def read_design_rows(path: Path, space: Space, defaults: Mapping[str, Value]) -> DesignRows:
    """Return the designs of a CSV or Parquet file: columns `workload` and the parameters of the space.

    Raises:
        ArmillaryError: see `read_layer_rows`.
    """
    reader = _Reader(path, space, defaults, needed=("workload",), read=("workload",))
    codes, workloads = reader.codes(), reader.text("workload", "")
    reader.faults.check()
    return DesignRows(codes, workloads, reader.unused)


_READ_OF_LAYERS = (*LAYER_FIELDS, "bits", GROUPS, "mapping", "layer", "network", "workload")
_LOGGED = {*LayerRuns.PLAIN_COLUMNS, *Evaluations.PLAIN_COLUMNS, FAILURE_COLUMN}
"""What a log's own tables hold beside that, which needs no remark."""
_POSITIVE = "write an integer from 1 up"


class _Reader:
    """Reads the columns of one file."""

    def __init__(
        self, path: Path, space: Space, defaults: Mapping[str, Value], *, needed: Sequence[str], read: Sequence[str]
    ) -> None:
        self._sheet: Sheet = read_table(path)
        self._space, self._defaults = space, defaults
        self.faults = self._sheet.faults
        names = self._sheet.names
        expected = [*needed, *(name for name in space.names if name not in defaults)]
        for name in (name for name in expected if name not in names):
            self.faults.add(f"column {name!r} is missing{near_to(name, names)}")
        used = [*space.names, *read, SPACE_COLUMN]
        self.unused = tuple(name for name in names if name not in {*used, *_LOGGED, *METRICS} and not _is_context(name))
        for name in self.unused:
            near = get_close_matches(name, [other for other in used if other not in names], n=1, cutoff=0.75)
            if near:
                self.faults.add(f"column {name!r} is unknown; did you mean {near[0]!r}?")
        if GROUPS in names and "groups" in names:
            self.faults.add(f"columns {GROUPS!r} and 'groups' say the same; leave one out")
        self.faults.check()
        space_column = self._sheet.column(SPACE_COLUMN)
        if space_column is not None:
            space_column.choose({space.name: space.name})

    def codes(self) -> NDArray[np.int64]:
        """Return the coded designs, shape [rows, parameters]; a value that is not allowed counts as the first one."""
        found = np.zeros((self._sheet.rows, len(self._space.parameters)), dtype=np.int64)
        for place, parameter in enumerate(self._space.parameters):
            column = self._sheet.column(parameter.name)
            if column is None:
                found[:, place] = parameter.code(self._defaults[parameter.name])
                continue
            codes = {value: code for code, value in enumerate(parameter.values)}
            found[:, place] = [codes.get(value, 0) for value in column.parameter(parameter).tolist()]
        return found

    def designs(self) -> list[Design]:
        """Return the designs; rows of one design share it."""
        codes = self.codes()
        different, which = np.unique(codes, axis=0, return_inverse=True)
        designs = self._space.designs(different)
        return [designs[number] for number in which.reshape(-1).tolist()]

    def layers(self) -> list[Layer]:
        """Return the layers; rows of one layer share it. One that cannot be is a fault."""
        columns: dict[str, list[Any]] = {name: self._numbers(name).tolist() for name in (*BOUNDS, *ONES)}
        columns["kind"] = self._choice("kind", {kind: kind for kind in KINDS}, KINDS[0]).tolist()
        columns |= {name: self._choice(name, TRUTH, default=False).tolist() for name in ("bias", "dynamic")}
        names = self.text("layer", "").tolist()
        made: dict[tuple[Any, ...], Layer | str] = {}
        found: list[Layer] = []
        for number, values in enumerate(zip(names, *(columns[name] for name in LAYER_FIELDS), strict=True)):
            if values not in made:
                made[values] = _layer(values[0], dict(zip(LAYER_FIELDS, values[1:], strict=True)))
            layer = made[values]
            if isinstance(layer, str):
                self.faults.add(f"row {number + FIRST_ROW}: {layer}")
            else:
                found.append(layer)
        self.faults.check()
        return found

    def refuse_widths(self) -> None:
        """Find fault with rows of layers that have widths of their own: those that rows are read for know none."""
        own = np.flatnonzero(self.text("bits", "").astype(str) != "")
        if len(own):
            row = own[0] + FIRST_ROW
            self.faults.add(f"row {row}: column 'bits': widths of a layer's own are not read; leave such rows out")

    def mappings(self) -> NDArray[np.object_]:
        """Return mappings as Armillary writes them, shape [rows]."""
        column, words = self._column("mapping"), []
        for number, cell in enumerate(column.cells.to_pylist()):
            try:
                words.append(str(LayerMapping.parse(cell)))
            except ArmillaryError as fault:
                column.reject(column.codes == number, str(fault))
                words.append("")
        return objects(words)[column.codes]

    def text(self, name: str, default: str | NDArray[np.object_]) -> NDArray[np.object_]:
        """Return a column as it stands, shape [rows]; where it is missing or a cell is empty, the default."""
        column = self._sheet.column(name)
        otherwise = same_text(default, self._sheet.rows) if isinstance(default, str) else default
        if column is None:
            return otherwise
        cells = column.text()
        return np.where(cells == "", otherwise, cells)

    def _numbers(self, name: str) -> NDArray[np.int64]:
        there = GROUPS if name == "groups" and GROUPS in self._sheet.names else name
        if there not in self._sheet.names:
            return np.ones(self._sheet.rows, dtype=np.int64)
        words = self._column(there).translate(lambda cell: cell if _is_positive(cell) else None, _POSITIVE)
        return np.array([1 if word is None else int(word) for word in words], dtype=np.int64)

    def _choice(self, name: str, choices: Mapping[str, Any], default: Any) -> NDArray[np.object_]:
        column = self._sheet.column(name)
        if column is None:
            return np.full(self._sheet.rows, default, dtype=object)
        return objects([default if value is None else value for value in column.choose(choices)])

    def _column(self, name: str) -> Column:
        column = self._sheet.column(name)
        assert column is not None
        return column


def _is_context(name: str) -> bool:
    return name.startswith(CONTEXT_PREFIX)


def _is_positive(cell: str) -> bool:
    return cell.isascii() and cell.isdecimal() and 1 <= int(cell) < 2**31


def _layer(name: str, values: Mapping[str, Any]) -> Layer | str:
    """Return a layer, or what is wrong with it."""
    bounds = "".join(f"{bound}{values[bound]}" for bound in (*BOUNDS, "groups") if values[bound] > 1)
    try:
        return Layer(name or bounds or "N1", **values)
    except ValueError as fault:
        return str(fault)
