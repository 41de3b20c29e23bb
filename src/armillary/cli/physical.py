"""Commands around layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armillary.cli.shared import Json, Seed, options_of, physical_app
from armillary.console import note, print_result, print_table, tell
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.evaluators.physical.flow import Layout

_MANY = 1e4  # from which numbers are printed in full
_PORTS = {"1": 1, "2": 2}
_SHOWN = (
    ("fmax", "fmax_mhz", "MHz", 1.0), ("effective clock", "effective_mhz", "MHz", 1.0),
    ("slack", "slack_ns", "ns", 1.0),
    ("power", "power_mw", "mW", 1.0), ("  internal", "internal_mw", "mW", 1.0),
    ("  switching", "switching_mw", "mW", 1.0), ("  leakage", "leakage_mw", "mW", 1.0),
    ("  of it clock tree", "clock_mw", "mW", 1.0), ("  of it macros", "macros_mw", "mW", 1.0),
    ("area", "area_mm2", "um2", 1e6), ("  cells", "cells_mm2", "um2", 1e6), ("  macros", "macros_mm2", "um2", 1e6),
    ("core", "core_mm2", "um2", 1e6), ("cells", "cells", "", 1.0), ("wire", "wire_mm", "mm", 1.0),
    ("overflow", "overflow", "wires", 1.0), ("left without a track", "unrouted", "wires", 1.0),
)  # fmt: skip


@physical_app.command("run")
def run(
    sources: Annotated[list[Path], typer.Argument(help="SystemVerilog files, and headers that they include.")],
    top: Annotated[str, typer.Option(help="The top module.")],
    out: Annotated[Path, typer.Option(help="Folder for the layout: new, empty, or of an earlier layout.")],
    clock: Annotated[float, typer.Option(help="Period in ns; short form of --set clock_ns=NUMBER.")] = 1.0,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="KNOB=VALUE, e.g. utilization=0.6; docs/physical.md lists them. Repeatable."),
    ] = None,
    macro: Annotated[
        list[str] | None,
        typer.Option(help="MODULE=PORTS of a memory with parameters WORDS and BITS: 1, or 2 for one that reads and one "
                     "that writes. Repeatable."),
    ] = None,
    saif: Annotated[
        Path | None, typer.Option(help="How often signals change; without it every net does as `activity` says.")
    ] = None,
    saif_scope: Annotated[str, typer.Option(help="The instance in it that is the design, testbench.dut.")] = "",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Lay out RTL: synthesis, floorplan, placement, clock tree, sizing, routing, timing and power."""
    from armillary.studies.physical import lay_out

    chosen = {"clock_ns": clock, **options_of(options)}
    layout = lay_out(
        sources, top, chosen, out, macros=_macros(macro), seed=seed, saif=saif, saif_scope=saif_scope, on_step=note
    )
    _show(layout, as_json)


@physical_app.command("repeat")
def repeat(
    folder: Annotated[Path, typer.Argument(help="Folder of a layout.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Lay out again what a folder holds; steps that were finished are not done again."""
    from armillary.studies.physical import repeat as again

    _show(again(folder, on_step=note), as_json)


def _macros(texts: list[str] | None) -> dict[str, int]:
    found = {}
    for text in texts or ():
        name, equals, ports = text.partition("=")
        if not name or not equals or ports not in _PORTS:
            raise ArmillaryError(f"--macro {text!r} is not allowed; write MODULE=1 or MODULE=2, e.g. sram_1rw=1")
        found[name] = _PORTS[ports]
    return found


def _show(layout: Layout, as_json: bool) -> None:
    content: dict[str, Any] = {
        "folder": str(layout.folder), "feasible": not layout.failure, "failure": layout.failure,
        "failed_step": layout.failed_step, "metrics": dict(layout.metrics),
        "steps": [asdict(step) for step in layout.steps],
    }  # fmt: skip
    print_result(content, as_json, lambda: _print(content))
    if layout.failure:
        raise typer.Exit(1)


def _shortly(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _MANY else f"{value:,.4g}"


def _print(content: Mapping[str, Any]) -> None:
    metrics = content["metrics"]
    known = [(title, scale * metrics[name], unit) for title, name, unit, scale in _SHOWN if name in metrics]
    print_table([{"": title, "value": _shortly(value), "unit": unit} for title, value, unit in known])
    print_table(
        [
            {"step": step["name"], "CPU, s": "kept" if step["kept"] else f"{step['cpu_s']:.1f}"}
            for step in content["steps"]
        ]
    )
    if content["failure"]:
        tell(f"failed in step {content['failed_step']}: {content['failure']}")
    tell(f"written: {content['folder']}")
