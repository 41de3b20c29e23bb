"""`armillary rtl run`: a whole network on simulated hardware."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.rtl import DesignFile
from armillary.cli.shared import Dim, Json, Seed, dims_of, rtl_app
from armillary.console import print_result, print_table, stop, tell

if TYPE_CHECKING:
    from armillary.studies.network import NetworkRun
    from armillary.workloads.quantized.step import Step

_NAMED_WEIGHTS = 3


@rtl_app.command("run")
def run(
    model: Annotated[Path, typer.Argument(help="A float ONNX file; weights that are missing are drawn at random.")],
    design: DesignFile,
    scales: Annotated[
        Path | None, typer.Option(help="YAML or JSON file `tensor: scale`; calibrated on random inputs by default.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--input", help="A .npy file, int8 or floats; random values by default.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Run so many steps, the first ones; all by default.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for integer.onnx, tensors.npz and scales.yaml of this run.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Simulate every multiplier; the results are the same.")] = False,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run a whole network in int8 in one simulation, and compare every tensor with ONNX Runtime's."""
    from armillary.studies.network import run_quantized, write_run
    from armillary.studies.rtl import read_accelerator

    found = run_quantized(
        read_accelerator(design),
        model,
        scales=scales,
        inputs=inputs,
        layers=layers,
        dims=dims_of(dim),
        full=full,
        seed=seed,
    )
    written = write_run(found, out) if out else []
    print_result({**_content(found), "written": list(map(str, written))}, as_json, lambda: _show(found, written))
    wrong = [run.step.output.name for run in found.steps if not run.matches]
    if wrong:
        stop(f"error: {len(wrong)} of {len(found.steps)} tensors differ from ONNX Runtime's, first {wrong[0]!r}", 1)


def _content(found: NetworkRun) -> dict[str, Any]:
    return {
        "network": found.network.name,
        "cycles": found.result.cycles,
        "busy_cycles": found.result.busy,
        "stall_cycles": found.result.stalls,
        "read_bytes": found.result.read_bytes,
        "written_bytes": found.result.written_bytes,
        "tensors": len(found.steps),
        "tensor_bytes": found.tensor_bytes,
        "outputs_match": found.matches,
        "random_weights": list(found.random),
        "steps": [
            {
                "step": run.step.name,
                "kind": run.step.kind,
                "pools": list(run.step.pool.kernel) if run.step.pool else None,
                "looks_up": run.step.table is not None,
                "output": run.step.output.name,
                "shape": list(run.step.output.shape),
                "scale": run.step.output.scale,
                "mapping": run.mapping,
                "dataflow": run.dataflow,
                "cycles": run.cycles,
                "macs": run.macs,
                "utilization": run.utilization,
                "outputs_match": run.matches,
            }
            for run in found.steps
        ],
    }


def _kind(step: Step) -> str:
    """Return what a step does, with what it does on the way out."""
    pool = f"max_pool {step.pool.kernel[0]}x{step.pool.kernel[1]}" if step.pool else ""
    return " + ".join(part for part in (step.kind, "table" if step.table is not None else "", pool) if part)


def _show(found: NetworkRun, written: list[Path]) -> None:
    print_table(
        [
            {
                "step": run.step.name,
                "kind": _kind(run.step),
                "output": "x".join(map(str, run.step.output.shape)),
                "dataflow": run.dataflow.replace("_", " "),
                "cycles": f"{run.cycles:,}",
                "utilization": f"{run.utilization:.1%}" if run.macs else "",
                "equal": "yes" if run.matches else "NO",
            }
            for run in found.steps
        ]
    )
    if found.random:
        named = ", ".join(found.random[:_NAMED_WEIGHTS]) + (", ..." if len(found.random) > _NAMED_WEIGHTS else "")
        tell(f"the file lacks {len(found.random)} weights, which are random: {named}")
    macs = sum(run.macs for run in found.steps)
    tell(f"{found.result.cycles:,} cycles for {macs:,} multiply-accumulates")
    equal = "all" if found.matches else "NOT all"
    tell(f"{len(found.steps)} tensors, {found.tensor_bytes:,} bytes, {equal} equal to ONNX Runtime")
    if written:
        tell("written: " + ", ".join(map(str, written)))
