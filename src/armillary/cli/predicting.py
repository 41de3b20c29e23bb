"""The command that predicts rows of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from armillary.cli.choices import Choosing
from armillary.cli.shared import (
    Dim,
    Json,
    LayoutOptions,
    ProblemPath,
    Seed,
    TemplateOrProblem,
    app,
    dims_of,
    subject_of_rows,
)
from armillary.console import print_result, print_table, print_warning, progress_bars, tell


@app.command(cls=Choosing)
def predict(
    model: Annotated[Path, typer.Option(help="A model file of `armillary fit`.", dir_okay=False)],
    rows: Annotated[
        Path,
        typer.Option(
            help="CSV file of mapped layers, as `armillary collect --from` takes it, or, for models of whole designs, "
            "of parameters and `workload`.",
            dir_okay=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the rows with their predictions to this CSV file instead.")
    ] = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    evaluator: Annotated[
        str | None, typer.Option(help="Whose answers to predict, where the model learned from several evaluators.")
    ] = None,
    options: LayoutOptions = None,
    dim: Dim = None,
    seed: Seed = 0,  # noqa: ARG001
    as_json: Json = False,
) -> None:
    """Print what a fitted model expects of each row: mean, 90% interval, and the chance to be feasible."""
    from armillary.studies.predict import predict_rows, with_predictions
    from armillary.surrogates import model_file

    name = template if template is not None or problem is not None else model_file.space_of(model)
    subject = subject_of_rows(name, problem, options)
    with progress_bars() as on_progress:
        found = predict_rows(subject, model, rows, evaluator, dims_of(dim), on_progress)
    for warning in found.warnings:
        print_warning(warning)
    if out is not None:
        with_predictions(rows, found, out)
        told = {"rows": len(found), "file": str(out)}
        print_result(told, as_json, lambda: tell(f"{len(found):,} rows in {out}"))
        return
    content = {"model": str(model), "metric": found.metric, "interval": found.interval, "rows": found.to_list()}
    print_result(content, as_json, lambda: _show(content))


def _show(content: Mapping[str, Any]) -> None:
    tell(f"{content['metric']}, with an interval of {content['interval']:.0%}\n")
    print_table(content["rows"])
