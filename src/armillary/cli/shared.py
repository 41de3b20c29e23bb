"""What the commands share: the application, options that many take, and how arguments are read."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from armillary.types import ArmillaryError

app = typer.Typer(
    name="armillary",
    help="Architect deep-learning accelerators from data and prior knowledge.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
workloads_app = typer.Typer(help="The networks of the zoo, and ONNX files.", invoke_without_command=True)
templates_app = typer.Typer(help="The parameterised accelerators.", invoke_without_command=True)
log_app = typer.Typer(help="Query, export and import logs of evaluations.", no_args_is_help=True)
rtl_app = typer.Typer(help="The accelerators of the gemmini template as hardware.", no_args_is_help=True)
app.add_typer(workloads_app, name="workloads")
app.add_typer(templates_app, name="templates")
app.add_typer(log_app, name="log")
app.add_typer(rtl_app, name="rtl")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.", min=0)]
Dim = Annotated[list[str] | None, typer.Option(help="Value of a symbolic dimension, e.g. batch=1. Repeatable.")]
Device = Annotated[str, typer.Option(help="Where PRIME's networks train: cpu, or cuda for a GPU.")]
TemplateName = Annotated[str, typer.Option("--template", help="A name from `armillary templates`.")]
LogPath = Annotated[str, typer.Option("--log", help="Folder or fsspec address of the log.")]
Area = Annotated[float, typer.Option(help="Upper bound of the chip area, in mm2.")]


def workload_of(name: str, dims: Sequence[str] | None) -> Any:
    """Return the workload of a name or file, with `--dim` values; refuses malformed ones."""
    from armillary import workloads as module

    values: dict[str, int] = {}
    for text in dims or ():
        key, _, value = text.partition("=")
        if not key or not (value.isascii() and value.isdecimal()) or int(value) < 1:
            raise ArmillaryError(f"--dim {text!r} is not allowed; write NAME=NUMBER, e.g. batch=1")
        if values.get(key, int(value)) != int(value):
            raise ArmillaryError(f"--dim {text!r} contradicts {key}={values[key]}; give each dimension once")
        values[key] = int(value)
    return module.load(name, values)


def template_of(name: str, workloads: Sequence[str], dims: Sequence[str] | None = None) -> Any:
    """Return a template by name, if need be that of the one workload."""
    from armillary.hardware import templates

    if not templates.depends_on_workload(name):
        return templates.load(name)
    if len(workloads) > 1:
        raise ArmillaryError(f"template {name!r} has parameters for each layer of one workload; name one --workload")
    return templates.load(name, workload_of(workloads[0], dims) if workloads else None)


def fidelity_of(text: str) -> Any:
    """Return the fidelity of `--fidelity`; refuses an unknown one."""
    from armillary.types import Fidelity

    try:
        return Fidelity(text)
    except ValueError:
        raise ArmillaryError(
            f"--fidelity {text!r} is not allowed; choose one of {[str(f) for f in Fidelity]}"
        ) from None


def digest_of(workload: Any) -> str:
    """Return a short text that differs for workloads with different layers."""
    import hashlib

    from armillary.workloads.describe import as_json as described

    return hashlib.sha256(json.dumps(described(workload), sort_keys=True).encode()).hexdigest()[:16]


def command_line() -> str:
    """Return the command as it can be typed again."""
    return shlex.join(["armillary", *sys.argv[1:]])
