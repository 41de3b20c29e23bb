"""The benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from armillary.cli.shared import Device, Json, Seed, app, command_line, resumable
from armillary.console import print_result, print_table, progress_bars, tell
from armillary.types import ArmillaryError

_PROOFS = {"mapping": "mapping-proofs"}


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="A benchmark, or `list`.")],
    data: Annotated[Path | None, typer.Option(help="Folder of reference rows.", exists=True, file_okay=False)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller run, in minutes.")] = False,
    prove: Annotated[bool, typer.Option("--prove", help="Of `mapping`: prove mappings; as `mapping-proofs`.")] = False,
    out: Annotated[Path, typer.Option(help="Where long benchmarks keep finished parts.")] = Path("out/bench"),
    record: Annotated[
        Path | None, typer.Option(help="Folder that keeps the result as a JSON file.", file_okay=False)
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds PRIME's benchmarks and ppa-dse run; default: their own.")
    ] = None,
    application: Annotated[
        list[str] | None, typer.Option(help="Of PRIME's tables: only rows of this application; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a published table beside our figures, and check the claims; exit 1 if one does not hold."""
    from armillary.benchmarks import BENCHES, BY_APPLICATION

    if name == "list":
        print_result(BENCHES.names(), as_json, lambda: tell("\n".join(BENCHES.names())))
        return
    from armillary.benchmarks.record import measured
    from armillary.benchmarks.result import BenchOptions
    from armillary.studies.fit import check_device

    check_device(device)
    if prove:
        name = _proofs_of(name)
    run = BENCHES.load(name)
    if application and name not in BY_APPLICATION:
        raise ArmillaryError(f"--application is not for {name!r}; choose one of {list(BY_APPLICATION)}")
    applications = tuple(application or ())
    with progress_bars(resumable(out / name)) as on_progress:
        found = measured(
            name, run, BenchOptions(data, quick, seed, out / name, on_progress, device, seeds, applications)
        )
    if record is not None:
        found.write(record)
    content = {**found.as_json(), "command": command_line()}
    print_result(content, as_json, lambda: _show_bench(content))
    if not found.ok:
        raise typer.Exit(1)


def _proofs_of(name: str) -> str:
    if name not in _PROOFS:
        raise ArmillaryError(f"--prove is not for {name!r}; choose one of {list(_PROOFS)}")
    return _PROOFS[name]


def _show_bench(content: Mapping[str, Any]) -> None:
    for line in content["preface"]:
        tell(line)
    print_table(content["rows"])
    tell()
    for note in content["notes"]:
        tell(note)
    tell(f"{content['machine']}; {content['command']}\n")
    print_table([{**check, "ok": "yes" if check["ok"] else "NO"} for check in content["checks"]])
