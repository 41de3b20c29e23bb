"""Gemmini's runs on FireSim as layer runs, with what our model of its system says of them.

The rows are those of `benchmarks.rtl.firesim`: one FPGA image per array size, so that an array is all there is to a
design. The model of the system walks over every request to memory, which takes minutes for the slowest rows of
`train.csv`: what it said is kept, some rows in a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.parts import Part, digest, measured_each
from armillary.benchmarks.rtl.firesim import MOST_DIM, Row, accelerator_for, as_executed
from armillary.cost_model import evaluate
from armillary.evaluators.gemmini.soc import cycles_on_soc
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.layers import Prior
from armillary.surrogates.layers.dataset import LayerDataset
from armillary.types import LayerRun

SOURCE = "armillary.evaluators.gemmini.soc"
_TOGETHER = 25
_OnDone = Callable[[int, int], None]
_MEMORIES = ("accumulator_kib", "scratchpad_kib")
Metrics = dict[str, float]


@dataclass(frozen=True)
class Known:
    """Rows with what is known of them before they ran.

    Attributes:
        rows: as the artifact has them.
        said: of each row, the prior's metrics: `delay_cycles` is the system model's, `cost_model_cycles` the bound,
            the others are what the system model counts.
    """

    rows: tuple[Row, ...]
    said: tuple[Metrics, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Known:
        """Return chosen rows, by number or mask, in that order."""
        chosen = np.arange(len(self))[rows].tolist()
        return Known(tuple(self.rows[row] for row in chosen), tuple(self.said[row] for row in chosen))

    def beside(self, others: Known) -> Known:
        """Return these rows and others."""
        return Known(self.rows + others.rows, self.said + others.said)

    @property
    def prior(self) -> Prior:
        """What the model of the system says; it takes every row for feasible."""
        metrics = {name: np.array([said[name] for said in self.said]) for name in self.said[0]}
        return Prior(metrics, np.ones(len(self), dtype=bool), SOURCE)

    @property
    def peak_share(self) -> NDArray[np.float64]:
        """Of the multipliers, the share that is busy, by the model of the system; shape [rows]."""
        peak = np.array([row.layer.macs / row.dim**2 for row in self.rows])
        return np.asarray(peak / self.prior.metrics["delay_cycles"])

    def dataset(self, space: Space) -> LayerDataset:
        """Return the rows as layer runs on designs of `space_of`."""
        return LayerDataset.of_runs(space, [_as_run(row, space) for row in self.rows])


def known(rows: Sequence[Row], folder: Path, on_done: _OnDone) -> Known:
    """Return rows with what the models say of them, worked out on all cores as far as it is not kept.

    Args:
        rows: to know.
        folder: of the parts that are kept.
        on_done: called with parts done and in total.
    """
    # the longest first, so that no part holds all of them
    order = sorted(range(len(rows)), key=lambda number: -rows[number].cycles)
    count = -(-len(rows) // _TOGETHER)
    dealt = [order[first::count] for first in range(count)]
    some = [[rows[i] for i in own] for own in dealt]
    work = {number: (_part(folder, own), partial(_said_of, own)) for number, own in enumerate(some)}
    found = measured_each(work, on_done)
    said: dict[int, Metrics] = {}
    for number, own in enumerate(dealt):
        said.update(zip(own, found[number]["said"], strict=True))
    return Known(tuple(rows), tuple(said[number] for number in range(len(rows))))


def _part(folder: Path, rows: Sequence[Row]) -> Part:
    return Part(folder, f"{rows[0].file}-{len(rows)}", {"rows": digest(repr(rows))}, (__name__,))


def _said_of(rows: Sequence[Row]) -> dict[str, list[Metrics]]:
    return {"said": [said_of(row) for row in rows]}


def said_of(row: Row) -> Metrics:
    """Return what the models say of a row, none of which is measured; see `Known`."""
    soc = asdict(cycles_on_soc(row.layer, as_executed(row), row.dim))
    hierarchy = accelerator_for(min(row.dim, MOST_DIM)).hierarchy()
    bound = float(evaluate(hierarchy, row.layer, row.mapping).delay_cycles)
    return {"delay_cycles": soc.pop("cycles"), "cost_model_cycles": bound, **{n: float(v) for n, v in soc.items()}}


def space_of(rows: Sequence[Row]) -> Space:
    """Return the space of the FPGA images that rows ran on."""
    accelerators = [accelerator_for(min(dim, MOST_DIM)) for dim in _dims(rows)]
    memories = [
        Parameter(name, tuple(sorted({int(getattr(one, name)) for one in accelerators})), unit="KiB")
        for name in _MEMORIES
    ]
    return Space("firesim", (Parameter("dim", tuple(_dims(rows))), *memories))


def _dims(rows: Sequence[Row]) -> list[int]:
    return sorted({row.dim for row in rows})


def _as_run(row: Row, space: Space) -> LayerRun:
    image = accelerator_for(min(row.dim, MOST_DIM))
    values = {"dim": row.dim, **{name: getattr(image, name) for name in _MEMORIES}}
    design = space.design_from(values, f"{row.file} row {row.number}")
    return LayerRun(design, row.layer, str(as_executed(row)), {"delay_cycles": row.cycles})
