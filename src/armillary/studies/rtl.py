"""RTL: an accelerator as SystemVerilog; and one layer on one of the `gemmini` template, traced cycle by cycle."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.layers import best_mapping, packed
from armillary.evaluators.gemmini.simulation import Job, Simulated, SimulationError, simulate
from armillary.evaluators.gemmini.synthesis import Synthesized, slowest_paths, synthesized
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.gemmini.compiler import Padding, Requantization, compile_layer
from armillary.hardware.rtl.gemmini.generator import PLATFORM as GEMMINI
from armillary.hardware.rtl.platform import A, Platform
from armillary.hardware.templates.gemmini import Accelerator
from armillary.studies.design_file import template_named
from armillary.tools.verilator import BuildError, Trace
from armillary.tools.yosys import SynthesisError
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer, Workload
from armillary.yaml_file import read_yaml

REQUANTIZATION = Requantization(scale=1, shift=8, relu=True)


@dataclass(frozen=True)
class TracedLayer:
    """One layer's run.

    Attributes:
        layer: as it ran.
        mapping: likewise.
        result: of the simulation.
        matches: whether the outputs are those that NumPy computes from the same random tensors.
        traces: files of every signal that were asked for: `fst` waves, `saif` activity.
    """

    layer: Layer
    mapping: Mapping
    result: Simulated
    matches: bool
    traces: Table[Trace, Path]


def platform_of(design: Path, template: str | None = None) -> Platform[Any]:
    """Return the platform of a design's file: the named one, else the one that the file names, else gemmini.

    Raises:
        ArmillaryError: if the file names another than the named one, or there is no such platform.
    """
    named = template_named(design)
    if None not in (template, named) and template != named:
        raise ArmillaryError(f"{design}: holds a design of template {named!r}, not {template!r}")
    found: Platform[Any] = PLATFORMS.load(template or named or GEMMINI.template, Platform)
    return found


def read_accelerator(path: Path, platform: Platform[A] = GEMMINI) -> A:  # type: ignore[assignment]
    """Return the accelerator of a YAML file: its parameters at the top, or under `design`; missing ones by default.

    Raises:
        ArmillaryError: if the file cannot be read, or a parameter is unknown or not allowed; names file and parameter.
    """
    content = read_yaml(path)
    values = content.get("design", content) if isinstance(content, dict) else content
    if not isinstance(values, dict):
        raise ArmillaryError(f"{path}: holds no design; write one line `parameter: value`")
    known = {field.name: type(field.default) for field in fields(platform.accelerator)}
    unknown = sorted(map(str, set(values) - set(known)))
    if unknown:
        raise ArmillaryError(f"{path}: {unknown[0]} is no parameter of {platform.template}; it has {list(known)}")
    wrong = [name for name, value in values.items() if type(value) is not known[name]]
    if wrong:
        raise ArmillaryError(f"{path}: {wrong[0]}={values[wrong[0]]!r} is no {known[wrong[0]].__name__}")
    try:
        return platform.accelerator(**values)
    except ArmillaryError as fault:
        raise ArmillaryError(f"{path}: {fault}") from None


def write_rtl(accelerator: A, folder: Path, platform: Platform[A] = GEMMINI) -> list[Path]:  # type: ignore[assignment]
    """Write an accelerator's SystemVerilog, and return the files.

    Raises:
        ArmillaryError: if the folder holds other files.
    """
    own = platform.files(accelerator)
    foreign = [path.name for path in folder.iterdir() if path.name not in own] if folder.is_dir() else []
    if foreign:
        raise ArmillaryError(f"--out {folder} holds {foreign[0]!r}; name an empty or new folder")
    return platform.generate(accelerator, folder)


def trace(
    accelerator: Accelerator,
    workload: Workload,
    *,
    layer: str | None = None,
    mapping: str | None = None,
    traces: Table[Trace, Path] | None = None,
    full: bool = False,
    seed: int = 0,
) -> TracedLayer:
    """Run one layer on random tensors.

    Args:
        accelerator: on which.
        workload: of the layer.
        layer: its name; may be left out if there is only one.
        mapping: as text; the best of a search if left out.
        traces: where to write every signal: `fst` for waves, `saif` for how often each changes.
        full: simulate every multiplier, as `saif` does in any case: power needs the signals of all of them.
        seed: of the tensors and of the search.

    Raises:
        ArmillaryError: if there is no such layer, the mapping is wrong or does not fit, a tool is missing or fails.
        AccidentError: if a signal ended a tool.
    """
    chosen = packed(_layer(workload, layer), accelerator.dim)
    by = Mapping.parse(mapping) if mapping else best_mapping(accelerator, chosen, seed=seed)
    program = compile_layer(chosen, by, accelerator, requantization=REQUANTIZATION)
    inputs, weights = random_tensors(chosen, Padding(), np.random.default_rng(seed))
    job = Job(accelerator, program, into_dram(program, inputs, weights), wants_dram=True, wants_events=True)
    wanted = dict(traces or {})
    full = full or "saif" in wanted
    try:
        results = [simulate(simulator(accelerator, full=full, trace=k), job, trace=path) for k, path in wanted.items()]
        result = results[0] if results else simulate(simulator(accelerator, full=full), job)
    except (BuildError, SimulationError) as fault:
        raise ArmillaryError(f"layer {chosen.name}: {fault}") from fault
    expected = convolved(chosen, inputs, weights, Padding(), REQUANTIZATION)
    return TracedLayer(chosen, by, result, bool((from_dram(program, result.dram, chosen.K) == expected).all()), wanted)


def _layer(workload: Workload, name: str | None) -> Layer:
    names = [use.layer.name for use in workload.layers]
    if name is None and len(names) > 1:
        raise ArmillaryError(f"workload {workload.name} has {len(names)} layers; name one with --layer: {names}")
    if name is not None and name not in names:
        raise ArmillaryError(f"workload {workload.name} has no layer {name!r}; it has {names}")
    return next(use.layer for use in workload.layers if name in (None, use.layer.name))


def synthesize(accelerator: Accelerator, *, flat: bool = False) -> tuple[Synthesized, dict[str, float]]:
    """Return an accelerator's cells and memories, and the period in ns that each block's slowest path needs.

    Args:
        accelerator: which.
        flat: synthesise all modules as one; there are no blocks to time then.

    Raises:
        ArmillaryError: if a tool is missing or refuses.
        AccidentError: if a signal ended a tool.
    """
    try:
        found = synthesized(accelerator, flat=flat)
        return found, {} if flat or found.problems else slowest_paths(accelerator)
    except SynthesisError as fault:
        raise ArmillaryError(str(fault)) from fault
