"""The Starlight-Low of the benches, trained once on analytical samples and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary import evaluators
from armillary.atomic_file import replaced
from armillary.benchmarks.parts import Part
from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight.collection import ROOFLINE, TEMPLATE
from armillary.benchmarks.starlight.scores import Values
from armillary.hardware.templates.gemmini import SPACE
from armillary.problems.problem import Problem
from armillary.studies.layers import analytical_rows as sampled
from armillary.surrogates.starlight.encoding import inputs_of
from armillary.surrogates.starlight.low import LossWeights, Schedule, StarlightLow
from armillary.surrogates.starlight.paper import SAMPLES
from armillary.types import Fidelity

QUICK_SAMPLES = 1 << 11
SCHEDULE, QUICK_SCHEDULE = Schedule(), Schedule(epochs=30)
METRICS = ("delay_cycles", "edp_pj_cycles")


def analytical_rows(options: BenchOptions) -> dict[str, Values]:
    """Return the inputs, [rows, 40], and the logarithm of each of `METRICS` by the bound, [rows], of the samples."""
    part = _part(options, "rows", {}, ".npz")
    if not part.path.exists():
        count = QUICK_SAMPLES if options.quick else SAMPLES
        every = sampled(TEMPLATE, SPACE, count, options=ROOFLINE, seed=options.seed, on_progress=options.on_progress)
        rows = every.select(every.feasible)
        cycles, energy = np.log(rows.delay_cycles), np.log(rows.energy_pj)
        found = {
            "inputs": inputs_of(SPACE.columns(rows.codes), rows.mappings),
            "delay_cycles": cycles,
            "edp_pj_cycles": cycles + energy,
        }
        with replaced(part.path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]  # numpy's stub takes names for its own option
    with np.load(part.path) as kept:
        return {name: kept[name] for name in kept.files}


def low_of_samples(options: BenchOptions, *, metric: str, predicts: bool = True) -> StarlightLow:
    """Return the network that learned a metric of the samples; `predicts` false: a plain autoencoder of their inputs.

    Args:
        options: `quick` decides how many samples and epochs.
        metric: one of `METRICS`.
        predicts: whether the predictor's loss counts.
    """
    part = _part(options, f"low-{metric}", {"predicts": predicts}, ".pt")
    if not part.path.exists():
        rows = analytical_rows(options)
        model = StarlightLow.learned(
            rows["inputs"],
            rows[metric],
            seed=options.seed,
            logged=True,
            weights=LossWeights() if predicts else LossWeights(prediction=0.0),
            schedule=QUICK_SCHEDULE if options.quick else SCHEDULE,
            on_progress=lambda done, total: options.on_progress("Starlight-Low", done, total),
        )
        with replaced(part.path) as unfinished:
            model.save(unfinished, Problem.minimising(SPACE, metric))
    return StarlightLow.load(part.path, space=SPACE)


def _part(options: BenchOptions, label: str, inputs: dict[str, bool], ending: str) -> Part:
    """Return where something is kept that all benches share: beside the folder of each."""
    spec = evaluators.spec_of(TEMPLATE, Fidelity.ANALYTICAL, ROOFLINE)
    given = {**inputs, "seed": options.seed, "quick": options.quick}
    folder: Path = options.out.parent / "starlight-low"
    return Part(folder, label, given, (__name__,), spec, ending)
