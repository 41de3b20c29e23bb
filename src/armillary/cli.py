"""The command line: parses, calls studies and reports, prints. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from armillary.console import print_result, print_table, progress_bars, stop, stop_for
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.benchmarks.result import BenchResult

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
app.add_typer(workloads_app, name="workloads")
app.add_typer(templates_app, name="templates")
app.add_typer(log_app, name="log")

INTERRUPTED = 130  # what shells give a process that Ctrl-C ended

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.", min=0)]
Dim = Annotated[list[str] | None, typer.Option(help="Value of a symbolic dimension, e.g. batch=1. Repeatable.")]
TemplateName = Annotated[str, typer.Option("--template", help="A name from `armillary templates`.")]
LogPath = Annotated[str, typer.Option("--log", help="Folder or fsspec address of the log.")]
Area = Annotated[float, typer.Option(help="Upper bound of the chip area, in mm2.")]


def main() -> NoReturn:
    """Run the command line; exit 0, 1 (the work failed), 2 (the request was wrong) or 130 (interrupted)."""
    try:
        # without its stand-alone mode, Typer returns the status of an Exit, 130 if interrupted
        status = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as fault:
        stop_for(fault)
    if status == INTERRUPTED:
        stop("interrupted; what was finished is kept, run the same command again to resume", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


@app.command()
def design(
    model: Annotated[str, typer.Argument(help="An ONNX file, or the name of a workload of the zoo.")],
    area: Area,
    template: TemplateName = "edge_tpu",
    out: Annotated[Path | None, typer.Option(help="Folder of the study; default: the model's name + .study")] = None,
    log: Annotated[str | None, typer.Option(help="A log to reuse and extend; default: one in the folder.")] = None,
    samples: Annotated[int, typer.Option(help="Designs to evaluate for the log.", min=1)] = 16_384,
    sampler: Annotated[str, typer.Option(help="random, lhs, sobol or halton.")] = "sobol",
    top: Annotated[int, typer.Option(help="Candidates to verify.", min=1)] = 256,
    schedule: Annotated[str, typer.Option(help="How long PRIME trains: quick, full or paper.")] = "quick",
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Design an accelerator for a network: log, learn, propose, verify, report."""
    from armillary.hardware import templates
    from armillary.studies.design import DesignRequest, run_design
    from armillary.studies.study_folder import StudyFolder

    chosen = templates.load(template)
    workload = _workload(model, dim)
    folder = StudyFolder(out or Path(f"{Path(model).stem}.study"))
    request = DesignRequest(
        source=model,
        digest=_digest(workload),
        template=template,
        area_mm2=area,
        samples=samples,
        sampler=sampler,
        top=top,
        schedule=schedule,
        seed=seed,
        log=log,
    )
    with progress_bars() as on_progress:
        study = run_design(request, chosen, workload, folder, command=_command(), on_progress=on_progress)
        on_progress("writing the report", 0, 1)
        _write_report(study, chosen, folder)
        on_progress("writing the report", 1, 1)
    answer = {
        "design": study.winner.design.as_dict(),
        "metrics": dict(study.winner.metrics),
        "best_of_log": dict(study.best_of_log.metrics),
        "baseline": dict(study.baseline.metrics),
        "stage_seconds": dict(study.stage_seconds),
        "report": str(folder.report),
        "design_file": str(folder.design),
    }
    print_result(answer, as_json, lambda: _show_study(study, folder.report, folder.design))


def _show_study(study: Any, report: Path, design_file: Path) -> None:
    contenders = [study.winner, study.best_of_log, study.baseline]
    rows = [{"": c.name, **_headline(c)} for c in contenders]
    print_table(rows)
    speedup = study.best_of_log.metrics["runtime_s"] / study.winner.metrics["runtime_s"]
    print(f"\nThe winner ({study.winner.note}) is {speedup:.2f}x as fast as the best of the log.")
    print(f"report  {report}\ndesign  {design_file}")


def _headline(contender: Any) -> dict[str, Any]:
    metrics = contender.metrics
    if contender.failure is not None:
        return {"runtime": f"infeasible: {contender.failure}"}
    return {
        "runtime": f"{metrics['runtime_s'] * 1e3:.4g} ms",
        "energy": f"{metrics['energy_pj'] * 1e-9:.4g} mJ",
        "area": f"{metrics['area_mm2']:.4g} mm2",
        "design": " ".join(f"{value}" for value in contender.design.as_dict().values()),
    }


@workloads_app.callback()
def workloads(context: typer.Context, as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the zoo."""
    if context.invoked_subcommand is not None:
        return
    from armillary.workloads import zoo
    from armillary.workloads.context import context_of

    built = [zoo.build(name) for name in zoo.names()]
    rows = [
        {
            "name": w.name,
            "macs": w.macs,
            "parameters": w.parameters,
            **{k.removesuffix("_ops"): int(v) for k, v in list(context_of(w).as_dict().items())[:3]},
        }
        for w in built
    ]
    print_result(rows, as_json, lambda: print_table(rows))


@workloads_app.command("show")
def workloads_show(
    name: Annotated[str, typer.Argument(help="A name of the zoo or an ONNX file.")],
    dim: Dim = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Show a workload: layers, MACs, parameter bytes, context, operators not mapped."""
    from armillary.workloads.describe import as_json as described

    content = described(_workload(name, dim))

    def show() -> None:
        print(
            f"{content['name']}: {content['macs']:,} MACs, {content['parameters']:,} parameter bytes (8 bit), "
            f"{sum(x['count'] for x in content['layers'])} layers, {len(content['layers'])} different\n"
        )
        shown = ("name", "kind", "count", "N", "K", "C", "P", "Q", "R", "S", "stride_h", "groups", "macs", "parameters")
        print_table([{key: layer[key] for key in shown} for layer in content["layers"]])
        print("\ncontext")
        print_table([content["context"]])
        if content["not_mapped"]:
            print("\nnot mapped")
            print_table(content["not_mapped"])

    print_result(content, as_json, show)


@templates_app.callback()
def templates(context: typer.Context, as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """List the templates."""
    if context.invoked_subcommand is not None:
        return
    from armillary.evaluators import fidelities
    from armillary.hardware import templates as registry

    rows = []
    for name in registry.names():
        space = registry.load(name).space
        rows.append(
            {
                "name": name,
                "parameters": len(space.parameters),
                "designs": space.size,
                "fidelities": fidelities(name),
            }
        )
    print_result(rows, as_json, lambda: print_table(rows))


@templates_app.command("show")
def templates_show(
    name: Annotated[str, typer.Argument(help="A name from `armillary templates`.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Show a template: its parameters with their values, and its published baseline."""
    from armillary.hardware import templates as registry

    template = registry.load(name)
    baseline = template.baseline.as_dict()
    rows = [
        {"parameter": p.name, "unit": p.unit, "values": list(p.values), template.baseline_name: baseline[p.name]}
        for p in template.space.parameters
    ]
    content = {
        "name": template.name,
        "designs": template.space.size,
        "one_hot_width": template.space.one_hot_width,
        "max_area_mm2": template.max_area_mm2,
        "baseline": baseline,
        "parameters": [{"name": p.name, "unit": p.unit, "values": list(p.values)} for p in template.space.parameters],
    }

    def show() -> None:
        print(f"{template.name}: {template.space.size:,} designs, at most {template.max_area_mm2:g} mm2\n")
        print_table(rows)

    print_result(content, as_json, show)


@app.command()
def evaluate(
    design_file: Annotated[Path, typer.Option("--design", help="YAML file with the value of every parameter.")],
    workload: Annotated[str, typer.Option(help="A name of the zoo or an ONNX file.")],
    template: TemplateName = "edge_tpu",
    fidelity: Annotated[str, typer.Option(help="analytical, rtl or physical.")] = "analytical",
    log: Annotated[str | None, typer.Option(help="Append the evaluation to this log.")] = None,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate one design on one workload; an infeasible one is an answer too."""
    from armillary.hardware import templates as registry
    from armillary.studies.design_file import read_design
    from armillary.studies.evaluate import evaluate_one

    chosen = registry.load(template)
    evaluation = evaluate_one(
        chosen,
        read_design(design_file, chosen.space),
        _workload(workload, dim),
        _fidelity(fidelity),
        seed=seed,
        log=log,
    )
    content = {
        "design": evaluation.design.as_dict(),
        "workload": evaluation.workload,
        "evaluator": f"{evaluation.evaluator} {evaluation.version}",
        "fidelity": str(evaluation.fidelity),
        "feasible": evaluation.feasible,
        "failure": None if evaluation.failure is None else str(evaluation.failure),
        "metrics": dict(evaluation.metrics),
        "seconds": evaluation.seconds,
    }

    def show() -> None:
        print(f"{evaluation.workload} on {template}: {'feasible' if evaluation.feasible else 'infeasible'}")
        if evaluation.failure is not None:
            print(str(evaluation.failure))
        print_table([{"metric": name, "value": f"{value:,.6g}"} for name, value in evaluation.metrics.items()])

    print_result(content, as_json, show)


@app.command()
def collect(
    workload: Annotated[list[str], typer.Option(help="A name of the zoo or an ONNX file. Repeatable.")],
    log: LogPath,
    template: TemplateName = "edge_tpu",
    samples: Annotated[int, typer.Option(help="Designs per workload.", min=1)] = 16_384,
    sampler: Annotated[str, typer.Option(help="random, lhs, sobol or halton.")] = "sobol",
    fidelity: Annotated[str, typer.Option(help="analytical, rtl or physical.")] = "analytical",
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate samples of a template's space and log them; resumes where it was interrupted."""
    from dataclasses import asdict

    from armillary.hardware import templates as registry
    from armillary.log.store import Log
    from armillary.studies.collect import collect as run

    chosen, level = registry.load(template), _fidelity(fidelity)
    networks = [_workload(name, dim) for name in workload]
    with progress_bars() as on_progress:
        rows = [
            asdict(
                run(
                    chosen,
                    network,
                    Log(log),
                    samples=samples,
                    sampler=sampler,
                    seed=seed,
                    fidelity=level,
                    on_progress=on_progress,
                )
            )
            for network in networks
        ]
    print_result(rows, as_json, lambda: print_table(rows))


@app.command()
def fit(
    log: LogPath,
    out: Annotated[Path, typer.Option(help="File of the fitted model.")],
    area: Annotated[
        float | None, typer.Option(help="Learn from designs up to this area, in mm2; default: any.")
    ] = None,
    template: TemplateName = "edge_tpu",
    surrogate: Annotated[str, typer.Option(help="Which surrogate to fit: prime.")] = "prime",
    workload: Annotated[list[str] | None, typer.Option(help="Only rows of this workload. Repeatable.")] = None,
    schedule: Annotated[str, typer.Option(help="How long to train: quick, full or paper.")] = "full",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit a surrogate to a log and save it."""
    from armillary import surrogates
    from armillary.hardware import templates as registry
    from armillary.log.store import Log
    from armillary.studies.fit import check_savable, fit_prime, rows_of, save_atomically
    from armillary.types import Objective

    surrogates.load(surrogate)
    check_savable(out)
    chosen = registry.load(template)
    rows = rows_of(Log(log), chosen.space, workload or [])
    objective = Objective("runtime_s", {} if area is None else {"area_mm2": area})
    with progress_bars() as on_progress:
        model = fit_prime(rows, chosen.space, objective, schedule=schedule, seed=seed, on_progress=on_progress)
    save_atomically(model, out)
    best = model.selection.chosen[0]
    content = {
        "model": str(out),
        "rows": len(rows),
        "alpha": best.alpha,
        "beta": best.beta,
        "checkpoint": best.checkpoint,
        "kendall": best.kendall,
        "seconds": model.selection.seconds,
    }
    print_result(content, as_json, lambda: print_table([content]))


@app.command()
def propose(
    model: Annotated[Path, typer.Option(help="A model file of `armillary fit`.")],
    workload: Annotated[str, typer.Option(help="A name of the zoo or an ONNX file.")],
    area: Area,
    template: TemplateName = "edge_tpu",
    top: Annotated[int, typer.Option(help="Designs to propose.", min=1)] = 256,
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print the designs that a fitted surrogate ranks best, without evaluating any."""
    from armillary.hardware import templates as registry
    from armillary.studies.propose import propose as run
    from armillary.surrogates.prime import Prime
    from armillary.workloads.context import context_of

    chosen = registry.load(template)
    prime = Prime.load(model, space=chosen.space)
    with progress_bars() as on_progress:
        on_progress("optimising the surrogate", 0, 1)
        found = run(prime, chosen, context_of(_workload(workload, dim)), area_mm2=area, top=top, seed=seed)
        on_progress("optimising the surrogate", 1, 1)
    rows = [
        {**d.as_dict(), "area_mm2": float(a), "predicted_runtime_s": float(p), "p_feasible": float(f)}
        for d, a, p, f in zip(
            chosen.space.designs(found.codes),
            chosen.area_mm2(found.codes),
            found.predicted,
            found.p_feasible,
            strict=True,
        )
    ]
    print_result(rows, as_json, lambda: print_table(rows))


@app.command()
def search(
    workload: Annotated[str, typer.Option(help="A name of the zoo or an ONNX file.")],
    optimizer: Annotated[str, typer.Option(help="Which optimizer: firefly or random.")],
    budget: Annotated[int, typer.Option(help="Evaluations, infeasible ones included.", min=1)],
    study: Annotated[Path, typer.Option(help="Folder of the study.")],
    area: Area = 29.0,
    template: TemplateName = "edge_tpu",
    fidelity: Annotated[str, typer.Option(help="analytical, rtl or physical.")] = "analytical",
    dim: Dim = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Search a template's space on the evaluator itself; resumes where it was interrupted."""
    from armillary.hardware import templates as registry
    from armillary.studies.search import SearchRequest, run_search
    from armillary.studies.study_folder import StudyFolder

    network = _workload(workload, dim)
    request = SearchRequest(
        source=workload,
        digest=_digest(network),
        template=template,
        optimizer=optimizer,
        area_mm2=area,
        budget=budget,
        fidelity=str(_fidelity(fidelity)),
        seed=seed,
    )
    with progress_bars() as on_progress:
        found = run_search(request, registry.load(template), network, StudyFolder(study), on_progress=on_progress)
    content = {
        "evaluated": found.evaluated,
        "feasible": found.feasible,
        "design": None if found.best is None else found.best.design.as_dict(),
        "metrics": None if found.best is None else dict(found.best.metrics),
    }

    def show() -> None:
        print(f"{found.evaluated:,} evaluations, {found.feasible:,} of them legal")
        if found.best is None:
            print("no legal design was met; raise --budget or --area")
        else:
            print_table([{**found.best.design.as_dict(), "runtime_s": found.best.metrics["runtime_s"]}])

    print_result(content, as_json, show)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="Folder of a finished design study.")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write the report of a finished study again."""
    from armillary.hardware import templates as registry
    from armillary.studies.design import load_study
    from armillary.studies.study_folder import StudyFolder

    if not study.is_dir():
        raise ArmillaryError(f"{study}: no such folder; give the folder of a study")
    folder = StudyFolder(study)
    template = registry.load(folder.request()["template"])
    _write_report(load_study(folder, template), template, folder)
    print_result({"report": str(folder.report)}, as_json, lambda: print(folder.report))


def _write_report(study: Any, template: Any, folder: Any) -> None:
    from armillary.reports.page import write_report
    from armillary.reports.study import results_of

    try:
        write_report(results_of(study, template, str(folder.path)), folder.report)
    except OSError as fault:
        raise ArmillaryError(f"{folder.report}: cannot be written ({fault.strerror or fault})") from fault


@log_app.command("query")
def log_query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the view `log`.")],
    log: LogPath,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Query a log with SQL, e.g. "SELECT * FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"."""
    from armillary.log.query import query

    rows = query(log, sql).to_pylist()
    print_result(rows, as_json, lambda: print_table(rows))


@log_app.command("export")
def log_export(
    csv: Annotated[Path, typer.Option("--csv", help="The CSV file to write.")],
    log: LogPath,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write a log as CSV."""
    from armillary.log.exchange import export_csv
    from armillary.log.store import Log

    rows = export_csv(Log(log), csv)
    print_result({"rows": rows, "file": str(csv)}, as_json, lambda: print(f"{rows:,} rows in {csv}"))


@log_app.command("import")
def log_import(
    files: Annotated[list[Path], typer.Argument(help="CSV files, or TFRecord files of PRIME's public dataset.")],
    log: LogPath,
    template: TemplateName = "edge_tpu",
    workload: Annotated[str | None, typer.Option(help="Workload of rows that do not name theirs.")] = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Append the rows of CSV or TFRecord files to a log."""
    from armillary.hardware import templates as registry
    from armillary.studies.imports import import_files

    with progress_bars() as on_progress:
        rows = import_files(files, log, registry.load(template), workload, on_progress=on_progress)
    print_result({"rows": rows, "log": log}, as_json, lambda: print(f"{rows:,} rows appended to {log}"))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="A benchmark, or `list`.")],
    data: Annotated[Path | None, typer.Option(help="Folder of reference rows.", exists=True, file_okay=False)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller run, in minutes.")] = False,
    out: Annotated[Path, typer.Option(help="Where long benchmarks keep finished parts.")] = Path("out/bench"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print a published table beside our figures, and check the claims; exit 1 if one does not hold."""
    from armillary.benchmarks import BENCHES

    if name == "list":
        print_result(BENCHES.names(), as_json, lambda: print("\n".join(BENCHES.names())))
        return
    from armillary.benchmarks.result import BenchOptions, machine

    run = BENCHES.load(name)
    with progress_bars() as on_progress:
        result: BenchResult = run(BenchOptions(data, quick, seed, out / name, on_progress))
    content = {
        "bench": name,
        "command": _command(),
        "machine": machine(),
        "rows": list(result.rows),
        "checks": [{"name": c.name, "value": c.value, "goal": c.goal, "ok": c.ok} for c in result.checks],
        "notes": list(result.notes),
    }
    print_result(content, as_json, lambda: _show_bench(content))
    if not result.ok:
        raise typer.Exit(1)


def _show_bench(content: Mapping[str, Any]) -> None:
    print_table(content["rows"])
    print()
    for note in content["notes"]:
        print(note)
    print(f"{content['machine']}; {content['command']}\n")
    print_table([{**check, "ok": "yes" if check["ok"] else "NO"} for check in content["checks"]])


def _workload(name: str, dims: Sequence[str] | None) -> Any:
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


def _fidelity(text: str) -> Any:
    from armillary.types import Fidelity

    try:
        return Fidelity(text)
    except ValueError:
        raise ArmillaryError(
            f"--fidelity {text!r} is not allowed; choose one of {[str(f) for f in Fidelity]}"
        ) from None


def _digest(workload: Any) -> str:
    import hashlib

    from armillary.workloads.describe import as_json as described

    return hashlib.sha256(json.dumps(described(workload), sort_keys=True).encode()).hexdigest()[:16]


def _command() -> str:
    return shlex.join(["armillary", *sys.argv[1:]])
