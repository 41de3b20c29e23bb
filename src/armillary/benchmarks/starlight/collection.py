"""The layer runs that all Starlight benches share: RTL rows of `gemmini`, in a log that grows and is not measured anew.

The log stands in `--data DIR/starlight`, or in the user's cache. Its folder is named by the evaluator and the
hardware's sources, so that rows of other hardware never pass for these; a bench that was interrupted goes on where it
was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators
from armillary.benchmarks.parts import digest
from armillary.benchmarks.result import BenchOptions
from armillary.evaluators.gemmini.build import simulated_text
from armillary.evaluators.sampling import LayerSampling
from armillary.execution.local import LocalExecutor
from armillary.hardware.templates.gemmini import SPACE, Accelerator
from armillary.log.store import Log
from armillary.studies.layers import collect_layers, default_networks, draw_layers, prior_of
from armillary.surrogates.layers import Prior
from armillary.surrogates.layers.dataset import LayerDataset, layer_dataset
from armillary.types import ArmillaryError, EvaluatorSpec, Fidelity, MappedLayer, Value, options_text
from armillary.user_cache import cache_folder

TEMPLATE, FIDELITY = "gemmini", Fidelity.RTL
MAPPINGS = 6
"""Of each layer on each design, so that ranks within such a pair can be seen."""
KNOBS: Mapping[str, Mapping[str, tuple[Value, ...]]] = {
    "latency 200": {"dram_latency": (200,)},
    "burst 4": {"burst_rows": (4,)},
    "2 outstanding": {"outstanding": (2,)},
    "bus 4": {"bus_bytes": (4,)},
    "output stationary": {"dataflow": ("output_stationary",)},
}
"""Samples whose other knobs are not those that models learn from."""
ROOFLINE: Mapping[str, Value] = {"timing": "roofline"}


@dataclass(frozen=True)
class Sizes:
    """How much is drawn; most cycles are by the bound.

    Attributes:
        samples: of the knobs that models learn from.
        others: of each of `KNOBS`.
        most_cycles: of a layer, by the bound, so that simulations end.
    """

    samples: int
    others: int
    most_cycles: float


FULL, QUICK = Sizes(2_046, 96, 1e6), Sizes(300, 30, 3e5)


@dataclass(frozen=True)
class Rows:
    """Feasible rows, what both timings of the analytical evaluator say of them, and which knobs they have.

    Attributes:
        data: designs, layers, mappings and the RTL's answer.
        physics: of the timing that knows the hardware's units.
        roofline: of the bound.
        knobs: of each row, a name of `KNOBS`, or "" where models learn from it, shape [rows].
    """

    data: LayerDataset
    physics: Prior
    roofline: Prior
    knobs: NDArray[np.str_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def pair(self) -> NDArray[np.int64]:
        """A number that is equal where layer and design are."""
        return self.data.layer * (int(self.data.hardware.max()) + 1) + self.data.hardware

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Return chosen rows, in that order."""
        return Rows(self.data.select(rows), self.physics.select(rows), self.roofline.select(rows), self.knobs[rows])


def sampling_of(
    options: BenchOptions, samples: int, most_cycles: float, knobs: Mapping[str, tuple[Value, ...]] | None = None
) -> LayerSampling:
    """Return what is drawn where every row is to run."""
    return LayerSampling(
        samples=samples,
        seed=options.seed,
        knobs=knobs or {},
        most_cycles=most_cycles,
        mappings=MAPPINGS,
        unfit_share=0.0,
    )


def collected(options: BenchOptions, *, others: bool = False) -> Rows:
    """Return the rows of a bench, simulated as far as the log lacks them.

    Args:
        options: `quick` decides how many.
        others: those with other knobs, too.

    Raises:
        ArmillaryError: if the RTL cannot be simulated, or the log cannot be read or written.
    """
    sizes = QUICK if options.quick else FULL
    drawn = {"": sampling_of(options, sizes.samples, sizes.most_cycles)}
    if others:
        drawn |= {name: sampling_of(options, sizes.others, sizes.most_cycles, knobs) for name, knobs in KNOBS.items()}
    return simulated(drawn, options)


def simulated(drawn: Mapping[str, LayerSampling], options: BenchOptions) -> Rows:
    """Return the rows of samplings by name, simulated as far as the log lacks them; see `collected`."""
    spec = evaluators.spec_of(TEMPLATE, FIDELITY)
    log = Log(log_folder(options, spec))
    executor, networks = LocalExecutor(log), default_networks()
    name_of: dict[tuple[object, ...], str] = {}
    for name, sampling in drawn.items():
        some = draw_layers(executor, spec, networks, sampling, options.on_progress).rows
        collect_layers(executor, spec, some, options.on_progress)
        for one in some:
            name_of.setdefault(_key(one), name)
    every = layer_dataset(log, SPACE, fidelity=spec.fidelity)
    wanted = np.array([_key(one) in name_of for one in every.mapped])
    data = every.select(wanted & every.feasible)
    if not len(data):
        raise ArmillaryError(f"{log.path}: none of the {len(name_of)} layers that were drawn can run")
    knobs = np.array([name_of[_key(one)] for one in data.mapped])
    return Rows(data, prior_of(TEMPLATE, data.mapped, options.on_progress), roofline_of(data.mapped, options), knobs)


def roofline_of(mapped: Sequence[MappedLayer], options: BenchOptions) -> Prior:
    """Return what the plain bound says of mapped layers."""
    return prior_of(TEMPLATE, mapped, options.on_progress, ROOFLINE)


def log_folder(options: BenchOptions, spec: EvaluatorSpec) -> Path:
    """Return where the rows of an evaluator are kept."""
    made = digest("\0".join([spec.name, spec.version, options_text(spec.options), simulated_text(Accelerator())]))
    root = options.data / "starlight" if options.data is not None else cache_folder("starlight")
    return root / f"{spec.fidelity}-{made}"


def _key(one: MappedLayer) -> tuple[object, ...]:
    """Return what a mapped layer is found again by: hardware may run groups together, its name stays."""
    return one.design, one.network, one.layer.name, one.mapping
