"""Commands around the hardware itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from armillary.cli.choices import Choosing, completing
from armillary.cli.shared import Dim, Json, Seed, rtl_app, workload_of
from armillary.console import print_result, print_table, tell
from armillary.types import ArmillaryError

DesignFile = Annotated[Path, typer.Option("--design", help="YAML file of a gemmini design; missing values by default.")]


@rtl_app.command("generate", cls=Choosing)
def generate(
    design: Annotated[Path, typer.Option("--design", help="YAML file of a design; missing values by default.")],
    out: Annotated[Path, typer.Option(help="Folder for the SystemVerilog.")],
    template: Annotated[
        str | None,
        typer.Option(
            help="One of {platforms}; default: the one that the file names, else gemmini.",
            autocompletion=completing("platforms"),
        ),
    ] = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write an accelerator as synthesizable SystemVerilog, its parameters in the header."""
    from armillary.studies.rtl import platform_of, read_accelerator, write_rtl

    platform = platform_of(design, template)
    paths = write_rtl(read_accelerator(design, platform), out, platform)
    modules = [path for path in paths if path.suffix == ".sv"]
    lines = sum(len(path.read_text().splitlines()) for path in modules)
    content = {"out": str(out), "top": platform.top, "files": [path.name for path in paths], "lines": lines}

    def show() -> None:
        tell(f"{len(modules)} modules, {lines:,} lines in {out}; the top module is {platform.top}")
        for path in paths[len(modules) :]:
            tell(f"{path.name} lists the {path.stem}, for macros")

    print_result(content, as_json, show)


@rtl_app.command("synthesize")
def synthesize(
    design: DesignFile,
    flat: Annotated[
        bool, typer.Option("--flat", help="All modules as one: smaller, without blocks, far slower.")
    ] = False,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Synthesise an accelerator to NanGate45 by Yosys and time it by OpenSTA: cells, area and clock by block."""
    from armillary.studies.rtl import read_accelerator
    from armillary.studies.rtl import synthesize as run

    found, periods = run(read_accelerator(design), flat=flat)
    content: dict[str, Any] = {
        "blocks": [
            {**asdict(block), "fmax_mhz": 1000 / periods[block.name] if block.name in periods else None}
            for block in sorted(found.blocks, key=lambda block: -block.area_um2)
        ],
        "memories": [asdict(memory) for memory in found.memories],
        "cells_um2": found.cells_um2,
        "memories_um2": found.memories_um2,
        "shares": {} if flat else {group: found.share(group) for group in ("array", "arithmetic", "control")},
        "fmax_mhz": 1000 / max(periods.values()) if periods else None,
        "problems": [asdict(problem) for problem in found.problems],
        "cpu_s": found.cpu_s,
        "synthesized_modules": found.fresh,
    }
    print_result(content, as_json, lambda: _show_synthesis(content))
    if found.problems:
        listed = "; ".join(f"{problem.fault}: {problem.name}" for problem in found.problems)
        raise ArmillaryError(f"check found {len(found.problems)} problems: {listed}")


def _show_synthesis(content: Mapping[str, Any]) -> None:
    print_table(
        [
            {
                "block": block["name"],
                "group": block["group"],
                "cells": f"{block['cells']:,}",
                "um2": f"{block['area_um2']:,.0f}",
                "of them registers": f"{block['register_um2']:,.0f}",
                "MHz": f"{block['fmax_mhz']:,.0f}" if block["fmax_mhz"] else "",
            }
            for block in content["blocks"]
        ]
    )
    names = ("block", "words", "bits", "ports", "count", "area_um2")
    print_table([{name: f"{memory[name]:,.0f}" if name == "area_um2" else str(memory[name]) for name in names}
                 for memory in content["memories"]])  # fmt: skip
    tell(f"cells {content['cells_um2']:,.0f} um2, memories {content['memories_um2']:,.0f} um2")
    if content["shares"]:
        tell("of the cells: " + ", ".join(f"{group} {share:.1%}" for group, share in content["shares"].items()))
    if content["fmax_mhz"]:
        tell(f"slowest path: {content['fmax_mhz']:,.0f} MHz, before layout, typical corner")
    tell(f"{content['cpu_s']:.0f} s of CPU for Yosys; {content['synthesized_modules']} modules were not in the cache")


@rtl_app.command("trace")
def trace(
    design: DesignFile,
    workload: Annotated[str, typer.Option(help="A name of the zoo or an ONNX file.")],
    out: Annotated[Path, typer.Option(help="Folder for the waves and the timeline.")],
    layer: Annotated[str | None, typer.Option(help="Name of the layer; `armillary workloads show` lists them.")] = None,
    mapping: Annotated[str | None, typer.Option(help="The layer's mapping as text; the best of a search.")] = None,
    waves: Annotated[bool, typer.Option(help="Write every signal to trace.fst.")] = True,
    saif: Annotated[
        bool, typer.Option("--saif", help="Write how often each signal changes to activity.saif; implies --full.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Simulate every multiplier; without it they are a model that has no signals.")
    ] = False,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run one layer on random tensors: signals for GTKWave or Surfer, and a timeline of load, execute and store."""
    from armillary.reports.timeline import write_timeline
    from armillary.studies.rtl import read_accelerator
    from armillary.studies.rtl import trace as run

    network = workload_of(workload, dim)
    out.mkdir(parents=True, exist_ok=True)
    traces: dict[Any, Path] = {"fst": out / "trace.fst"} if waves else {}
    traces |= {"saif": out / "activity.saif"} if saif else {}
    found = run(read_accelerator(design), network, layer=layer, mapping=mapping, traces=traces, full=full, seed=seed)
    result = found.result
    title = f"{network.name}, {found.layer.name}: {found.mapping}"
    spans = [(event.unit, event.first, event.last) for event in result.events]
    write_timeline(spans, result.cycles, result.stalls, result.busy, out / "timeline.png", title=title)
    content: dict[str, Any] = {
        "layer": found.layer.name,
        "mapping": str(found.mapping),
        "cycles": result.cycles,
        "busy_cycles": result.busy,
        "stall_cycles": result.stalls,
        "read_bytes": result.read_bytes,
        "written_bytes": result.written_bytes,
        "commands": len(result.events),
        "outputs_match": found.matches,
        "timeline": str(out / "timeline.png"),
        "traces": {kind: str(path) for kind, path in traces.items()},
    }

    def show() -> None:
        tell(f"{title}\n{result.cycles:,} cycles, outputs {'as' if found.matches else 'NOT as'} NumPy computes them")
        cycles = {"busy": result.busy, **{f"waits: {cause}": n for cause, n in result.stalls.items()}}
        print_table(
            [{"what": what, "cycles": f"{n:,}", "share": f"{n / result.cycles:.1%}"} for what, n in cycles.items()]
        )
        tell("written: " + ", ".join(map(str, [out / "timeline.png", *traces.values()])))

    print_result(content, as_json, show)
    if not found.matches:
        raise ArmillaryError(f"layer {found.layer.name}: the hardware's outputs differ from NumPy's")
