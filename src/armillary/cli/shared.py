"""What the commands share: the application, options that many take, and how arguments are read."""

from __future__ import annotations

import inspect
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

import armillary
from armillary.cli.choices import completing
from armillary.console import note, print_warning, set_voice, tell
from armillary.problems.criteria import Bound, Objective
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.execution.single import Make
    from armillary.studies.foresee import Foreseen
    from armillary.studies.progress import OnProgress
    from armillary.studies.results import StudyResults
    from armillary.studies.running import Running
    from armillary.studies.study_folder import StudyFolder
    from armillary.studies.subject import Simulator, Subject
    from armillary.types import EvaluatorSpec
    from armillary.workloads.layer import Workload

    HowRun: TypeAlias = Running
else:
    HowRun = Any  # what a command is given by `runs_networks`; help loads no studies

app = typer.Typer(
    name="armillary",
    help="Architect deep-learning accelerators from data and prior knowledge.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
workloads_app = typer.Typer(help="The networks of the zoo, and ONNX files.", invoke_without_command=True)
templates_app = typer.Typer(help="The parameterised accelerators.", invoke_without_command=True)
log_app = typer.Typer(help="Query, export and import logs of evaluations.", no_args_is_help=True)
rtl_app = typer.Typer(help="Accelerators as hardware: those of gemmini and others.", no_args_is_help=True)
physical_app = typer.Typer(
    help="Layouts of RTL: power, clock and area behind placement and routing.", no_args_is_help=True
)
app.add_typer(workloads_app, name="workloads")
app.add_typer(templates_app, name="templates")
app.add_typer(log_app, name="log")
app.add_typer(rtl_app, name="rtl")
app.add_typer(physical_app, name="physical")


def _say_version(wanted: bool) -> None:
    if wanted:
        tell(f"armillary {armillary.__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and end.", callback=_say_version, is_eager=True)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell how long each stage took, and where an error came from.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors alone.")] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="Append what happens, progress too, to this file, with times.", dir_okay=False)
    ] = None,
) -> None:
    """Architect deep-learning accelerators from data and prior knowledge."""
    set_voice(quiet=quiet, verbose=verbose, log_file=log_file)
    note(command_line())


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.", min=0, max=2**32 - 1)]
PhaseName = Annotated[
    str | None,
    typer.Option(
        "--phase", help="Of a language model: prefill, or decode, which adds one token to those of the cache."
    ),
]
Seq = Annotated[
    int | None, typer.Option(help="Tokens that are read of each sequence; default: 2048 in prefill.", min=1)
]
Past = Annotated[
    int | None, typer.Option(help="Tokens that the cache holds of each sequence; default: 2048 in decode.", min=0)
]
Batch = Annotated[int | None, typer.Option(help="Sequences at once, with --phase; default: 1.", min=1)]
TensorBits = Annotated[
    list[str] | None,
    typer.Option(
        "--bits",
        help="Width of a tensor in bits: weights=4, kv=8 (keys and values), activations=16. Repeatable; for templates "
        "whose evaluator takes widths.",
    ),
]
Dim = Annotated[list[str] | None, typer.Option(help="Value of a symbolic dimension, e.g. batch=1. Repeatable.")]
RUNNING: dict[str, Any] = {
    "dim": Dim,
    "phase": PhaseName,
    "seq": Seq,
    "past": Past,
    "batch": Batch,
    "bits": TensorBits,
}
"""The options that say how networks are run, by the names of `running_of`."""
Device = Annotated[str, typer.Option(help="Where PRIME's networks train: cpu, or cuda for a GPU.")]
DEFAULT_TEMPLATE = "edge_tpu"
JOINT = ".physical"
TemplateName = Annotated[
    str, typer.Option("--template", help="One of {templates}.", autocompletion=completing("templates"))
]
TemplateOrProblem = Annotated[
    str | None,
    typer.Option("--template", help="One of {templates}; default: edge_tpu.", autocompletion=completing("templates")),
]
ProblemPath = Annotated[
    Path | None, typer.Option("--problem", help="A problem file of your own instead of a template.", dir_okay=False)
]
LogPath = Annotated[str, typer.Option("--log", help="Folder or fsspec address of the log.")]
Area = Annotated[float | None, typer.Option(help="Short form of --bound area_mm2=NUMBER.")]
Power = Annotated[float | None, typer.Option(help="Short form of --bound power_mw=NUMBER.")]
Bounds = Annotated[
    list[str] | None,
    typer.Option("--bound", help="METRIC=NUMBER, the most a metric may be, or METRIC>=NUMBER, the least. Repeatable."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="OPTION=VALUE of the evaluator; `armillary templates show NAME` lists them. Repeatable."
    ),
]
LayoutOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="With --template NAME.physical: OPTION=VALUE that the layouts were made with, e.g. enablement=osu018, "
        "which decides the periods of the space. Repeatable.",
    ),
]
FidelityName = Annotated[
    str,
    typer.Option(
        "--fidelity",
        help="One of {fidelities}; `armillary templates` tells which a template has.",
        autocompletion=completing("fidelities"),
    ),
]
SamplerName = Annotated[
    str, typer.Option("--sampler", help="One of {samplers}.", autocompletion=completing("samplers"))
]
Verify = Annotated[
    str | None,
    typer.Option(help="Truer fidelities on which the best designs are measured again, e.g. rtl; with commas between."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check the request, tell what would be evaluated and how long; write nothing."),
]
TimeLimit = Annotated[
    float | None, typer.Option("--time-limit", help="Seconds after which an evaluation in a process of its own ends.")
]
MemoryLimit = Annotated[
    int | None, typer.Option("--memory-limit", help="MiB that an evaluation in a process of its own may take.")
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        help="Who evaluates: one of {executors}; ray is a cluster of many machines.",
        autocompletion=completing("executors"),
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="With --executor ray: HOST:PORT of the cluster's head; default: $RAY_ADDRESS, else this machine's.",
    ),
]


Minimize = Annotated[
    list[str] | None,
    typer.Option("--minimize", "--metric", help="The metric to minimise, e.g. edp_pj_cycles; default: runtime_s."),
]
SurrogateName = Annotated[
    str | None,
    typer.Option("--surrogate", help="One of {surrogates}; default: hurdle.", autocompletion=completing("surrogates")),
]
StudyName = Annotated[
    str | None, typer.Option("--study-name", help="The study of an Optuna storage that holds several.")
]
Maximize = Annotated[list[str] | None, typer.Option("--maximize", help="A metric to maximise. Repeatable.")]
Prefer = Annotated[
    str | None,
    typer.Option(
        "--prefer", help="Of several goals, how much each weighs in the marked design: energy_pj=2,area_mm2=1."
    ),
]
WorkloadNames = Annotated[
    list[str] | None,
    typer.Option("--workload", help="A name of the zoo, an ONNX file, or a workload of the problem. Repeatable."),
]


def is_address(text: str) -> bool:
    """Return whether a text is the address of a storage, not a file."""
    return "://" in text


def preferences_of(text: str | None, objectives: Sequence[Objective]) -> dict[str, float]:
    """Return the weights of `--prefer` by metric."""
    if text is None:
        return {}
    if len(objectives) == 1:
        raise ArmillaryError(f"--prefer {text!r} is for several goals; there is one, {objectives[0].metric}")
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = float("nan")
        if not 0 < weight < float("inf"):
            raise ArmillaryError(f"--prefer {part!r} is not allowed; write METRIC=NUMBER, e.g. energy_pj=2,area_mm2=1")
        if name.strip() not in [o.metric for o in objectives]:
            named = [o.metric for o in objectives]
            raise ArmillaryError(f"--prefer {name.strip()!r} is none of the goals; they are {named}")
        found[name.strip()] = weight
    return found


def evaluating(simulator: Simulator, subject: Subject) -> tuple[EvaluatorSpec, Make]:
    """Return who evaluates, and what makes it; refuses a problem file that names nobody."""
    if simulator.make is None:
        from armillary.problems.problem_file import no_evaluator

        raise no_evaluator(str(subject.problem_path))
    return simulator.spec, simulator.make


def networks_of(subject: Subject, names: Sequence[str]) -> list[Workload]:
    """Return the networks that a template's parameters depend on; none where they do not, as of a log's own names."""
    from armillary.hardware import templates

    if subject.problem_path is not None or not templates.depends_on_workload(subject.name):
        return []
    return subject.workloads(names, running_of(None)) if names else []


def runs_networks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `RUNNING` in place of its parameter `running`, which is what they ask for.

    An option that the command has itself is its own.
    """
    signature = inspect.signature(command, eval_str=True)
    given = {name: kind for name, kind in RUNNING.items() if name not in signature.parameters}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "running":
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters += [inspect.Parameter(n, keyword, default=None, annotation=kind) for n, kind in given.items()]
        else:
            parameters.append(parameter)

    @wraps(command)
    def with_options(**values: Any) -> None:
        asked = {name: values.pop(name) for name in given}
        command(**values, running=running_of(**asked))

    del with_options.__wrapped__  # typer would look at the command's own parameters
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def running_of(
    dim: Sequence[str] | None = None,
    phase: str | None = None,
    seq: int | None = None,
    past: int | None = None,
    batch: int | None = None,
    bits: Sequence[str] | None = None,
) -> Running:
    """Return how networks are run; refuses what is malformed."""
    from armillary.studies.running import Running, tensor_bits
    from armillary.workloads.phases import phase_of

    return Running(dims_of(dim), phase_of(phase, seq=seq, past=past, batch=batch), tensor_bits(bits or ()))


def workload_of(name: str, dims: Sequence[str] | None) -> Any:
    """Return the workload of a name or file, with `--dim` values; refuses malformed ones."""
    from armillary import workloads as module

    return warned([module.load(name, dims_of(dims))])[0]


def warned(networks: Sequence[Any]) -> list[Any]:
    """Return workloads; says what their numbers leave out, and what to know before trusting them."""
    for network in networks:
        if network.unknown_work:
            count = len(network.unknown_work)
            print_warning(
                f"{network.name}: the work of {count} node{'s' * (count > 1)} is unknown and left out; "
                f"`armillary workloads show` lists them, the first is: {network.unknown_work[0]}"
            )
        for warning in network.warnings:
            print_warning(f"{network.name}: {warning}")
    return list(networks)


def dims_of(texts: Sequence[str] | None) -> dict[str, int]:
    """Return the dimensions of `--dim`; refuses malformed ones."""
    values: dict[str, int] = {}
    for text in texts or ():
        key, _, value = text.rpartition("=")
        if not key or not (value.isascii() and value.isdecimal()):
            raise ArmillaryError(f"--dim {text!r} is not allowed; write NAME=NUMBER, e.g. batch=1")
        if values.get(key, int(value)) != int(value):
            raise ArmillaryError(f"--dim {text!r} contradicts {key}={values[key]}; give each dimension once")
        values[key] = int(value)
    return values


def subject_of(
    template: str | None, problem: Path | None, fidelity: str = "analytical", options: Sequence[str] | None = None
) -> Any:
    """Return what `--template` or `--problem` names; the template `NAME.physical` is the joint space of NAME."""
    from armillary.studies.subject import Shipped, Users

    if problem is None:
        named = template or DEFAULT_TEMPLATE
        name = named.removesuffix(JOINT)
        return Shipped(name, fidelity_of(fidelity if name == named else "physical"), options_of(options))
    if template is not None:
        raise ArmillaryError(f"--template {template!r} and --problem {str(problem)!r} exclude each other; give one")
    if options:
        raise ArmillaryError(f"--set {options[0]!r}: the evaluator of a problem file has no options")
    return Users.read(problem)


def subject_of_rows(template: str | None, problem: Path | None, options: Sequence[str] | None) -> Any:
    """Return what rows are of, by `subject_of`; options are those of layouts alone."""
    if options and not (template or "").endswith(JOINT):
        raise ArmillaryError(f"--set {options[0]!r}: goes with --template NAME{JOINT}, whose rows are layouts")
    return subject_of(template, problem, options=options)


def template_of(name: str, workloads: Sequence[str], dims: Sequence[str] | None = None) -> Any:
    """Return a template by name, if need be that of the one workload."""
    from armillary.hardware import templates

    if name.endswith(JOINT):
        return subject_of(name, None).template()
    if not templates.depends_on_workload(name):
        return templates.load(name)
    if len(workloads) > 1:
        raise ArmillaryError(f"template {name!r} has parameters for each layer of one workload; name one --workload")
    return templates.load(name, workload_of(workloads[0], dims) if workloads else None)


def fidelity_of(text: str) -> Any:
    """Return the fidelity of `--fidelity`; refuses an unknown one."""
    from armillary import evaluators
    from armillary.types import Fidelity

    offered = [*evaluators.offered(), str(Fidelity.EXTERNAL)]
    if text not in offered:
        raise ArmillaryError(f"--fidelity {text!r} is not allowed; choose one of {offered}")
    return Fidelity(text)


def bounds_of(texts: Sequence[str] | None, **short: float | None) -> tuple[Bound, ...]:
    """Return the bounds of `--bound` and of its short forms, one for each metric."""
    sides: dict[str, dict[str, float]] = {}
    asked = {name: value for name, value in short.items() if value is not None}
    for name, number in asked.items():
        if not 0 < number < math.inf:
            raise ArmillaryError(f"{name}={number!r} is not allowed; it must be a positive number")
    given = [(name, "at_most", value, f"{name}={value!r}") for name, value in asked.items()]
    given += [_bound_of(text) for text in texts or ()]
    for name, side, number, text in given:
        if not math.isfinite(number):
            raise ArmillaryError(f"{text} is not allowed; it must be a finite number")
        if sides.setdefault(name, {}).get(side, number) != number:
            raise ArmillaryError(
                f"--bound {text!r} contradicts {name}={sides[name][side]:g}; give each metric one bound"
            )
        sides[name][side] = number
    return tuple(Bound(name, **values) for name, values in sides.items())


def _bound_of(text: str) -> tuple[str, str, float, str]:
    """Return metric, side, number and text of METRIC=NUMBER, METRIC<=NUMBER or METRIC>=NUMBER."""
    name, sign, value = text.partition(">=") if ">=" in text else text.replace("<=", "=").partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name.strip() or not sign or not math.isfinite(number):
        raise ArmillaryError(
            f"--bound {text!r} is not allowed; write METRIC=NUMBER (at most) or METRIC>=NUMBER, e.g. area_mm2=29"
        )
    return name.strip(), "at_least" if sign == ">=" else "at_most", number, text


def options_of(texts: Sequence[str] | None) -> dict[str, str]:
    """Return the evaluator's options of `--set`, as text."""
    options: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ArmillaryError(f"--set {text!r} is not allowed; write OPTION=VALUE, e.g. budget=20000")
        options[name] = value
    return options


def verified_by(text: str | None, template: str, fidelity: str) -> tuple[str, ...]:
    """Return the fidelities of `--verify`, each truer than that of the study, the truest last."""
    from armillary import evaluators

    if text is None:
        return ()
    there_are = [str(other) for other in evaluators.truer(template, fidelity_of(fidelity))]
    wanted = [name.strip() for name in text.split(",")]
    wrong = [name for name in wanted if name not in there_are]
    if wrong:
        offered = f"choose of {there_are}" if there_are else "it has none"
        raise ArmillaryError(
            f"--verify {wrong[0]!r} is not allowed; template {template!r} needs one truer than {fidelity}: {offered}"
        )
    return tuple(name for name in there_are if name in wanted)


def limits_of(
    time_limit_s: float | None, memory_limit_mib: int | None, executor: str = "local", address: str | None = None
) -> Any:
    """Return the limits of an evaluation, and the workers that keep to them."""
    from armillary.execution import workers_of
    from armillary.execution.limits import Limits

    memory_limit_bytes = None if memory_limit_mib is None else memory_limit_mib * 2**20
    return Limits(time_limit_s, memory_limit_bytes, workers=workers_of(executor, address))


def objectives_of(minimize: Sequence[str] | None, maximize: Sequence[str] | None) -> tuple[Objective, ...]:
    """Return what `--minimize` and `--maximize` ask, in that order; nothing if they ask nothing."""
    found = (*(Objective(name) for name in minimize or ()), *(Objective(name, "maximize") for name in maximize or ()))
    names = [objective.metric for objective in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ArmillaryError(f"metric {twice[0]!r} is named twice among --minimize and --maximize; name it once")
    return found


def show_foreseen(stages: Sequence[Foreseen], as_json: bool) -> None:
    """Print what a dry run foresees."""
    from dataclasses import asdict

    from armillary.console import print_result, print_table

    def row(stage: Foreseen) -> dict[str, Any]:
        return {**asdict(stage), "seconds": "?" if stage.seconds is None else f"{stage.seconds:,.3g}"}

    print_result([asdict(stage) for stage in stages], as_json, lambda: print_table([row(stage) for stage in stages]))


def resumable(place: Path | str) -> str:
    """Return what to say when work that keeps its finished parts in a place is interrupted."""
    return f"what was finished is kept in {place}; run the same command again to resume"


def command_line() -> str:
    """Return the command as it can be typed again."""
    return shlex.join(["armillary", *sys.argv[1:]])


def write_report(study: StudyResults, folder: StudyFolder, on_progress: OnProgress) -> None:
    """Write the page of a study into its folder."""
    from armillary.reports.page import write_report as write

    on_progress("writing the report", 0, 1)
    write(study, folder.report)
    on_progress("writing the report", 1, 1)
