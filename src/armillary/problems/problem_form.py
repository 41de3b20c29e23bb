"""The form of a problem file, field by field: what pydantic checks, and what editors read as a JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from armillary.problems.criteria import Direction

Scale = Literal["linear", "log"]
Given = bool | int | float | str


class Form(BaseModel):
    """A table of a problem file; a field that it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _listed(given: Any) -> Any:
    return {"values": given} if isinstance(given, list) else given


class ParameterForm(Form):
    """One knob: its `values`, or a `range` with a `step`, or `choices` that have no order."""

    values: Annotated[
        list[Given] | None, Field(description="Every value, in order; numbers, truth values or texts.")
    ] = None
    range: Annotated[
        tuple[float, float] | None,
        Field(description="The first and the last value; needs `step` unless both are whole."),
    ] = None
    step: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False, description="From one value of the range to the next.")
    ] = None
    choices: Annotated[list[Given] | None, Field(description="Values without an order, such as names.")] = None
    scale: Annotated[
        Scale | None,
        Field(description="How far values are apart for a model: `log` by their ratio, `linear` by their difference."),
    ] = None
    unit: str = "1"


class MetricForm(Form):
    """One metric: its unit, whether it is a goal, and its bounds."""

    unit: str = "1"
    goal: Annotated[
        Direction | None, Field(description="Whether less or more of it is better; none: it is no goal.")
    ] = None
    at_most: Annotated[float | None, Field(allow_inf_nan=False)] = None
    at_least: Annotated[float | None, Field(allow_inf_nan=False)] = None


class EvaluatorForm(Form):
    """The user's simulator: a program that reads a design as JSON and prints metrics as JSON."""

    command: Annotated[
        list[str],
        Field(min_length=1, description="The program and its arguments; a path is relative to the problem file."),
    ]
    time_limit_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    version: Annotated[str, Field(min_length=1, description="Results of different versions are never mixed.")] = "1"
    environment: dict[str, str] = {}
    install: Annotated[str, Field(description="How to install it, told if it is missing.")] = ""


class LogForm(Form):
    """How the columns of a user's file are to be read."""

    columns: Annotated[
        dict[str, str], Field(description="From a column's name to the parameter or metric that it holds.")
    ] = {}
    scale: Annotated[
        dict[str, float], Field(description="By column, what its numbers are multiplied by to be in the metric's unit.")
    ] = {}
    feasible: Annotated[
        str | None,
        Field(description="An expression over the file's columns: which rows are feasible; default: all with metrics."),
    ] = None
    reason: Annotated[str | None, Field(description="The column that says why a row failed.")] = None
    workload: Annotated[str | None, Field(description="The column that names the workload; default: one workload.")] = (
        None
    )
    ignore: Annotated[list[str], Field(description="Columns that are left out.")] = []


class ProblemForm(Form):
    """A problem file."""

    name: Annotated[str, Field(min_length=1, description="Of the problem; its rows carry it in every log.")]
    parameters: Annotated[dict[str, Annotated[ParameterForm, BeforeValidator(_listed)]], Field(min_length=1)]
    constraints: Annotated[
        list[str], Field(description="Rules that every design keeps to, such as pe_rows * pe_cols <= 1024.")
    ] = []
    candidates: Annotated[
        str | None, Field(description="A CSV file of the only designs that exist; relative to the problem file.")
    ] = None
    metrics: Annotated[dict[str, MetricForm], Field(min_length=1)]
    laws: Annotated[dict[str, str], Field(description="Metrics that follow from the parameters, as expressions.")] = {}
    workloads: Annotated[
        dict[str, str | dict[str, float] | None],
        Field(description="By name: an ONNX file, a network of the zoo, own numbers, or nothing but the name."),
    ] = {}
    evaluator: EvaluatorForm | None = None
    log: LogForm = LogForm()


def schema() -> dict[str, Any]:
    """Return the JSON Schema of problem files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ProblemForm.model_json_schema()}
