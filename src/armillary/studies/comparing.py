"""What a study ends with: its best designs beside a baseline, kept as values in a file and read again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import yaml

import armillary
from armillary import optimizers, surrogates
from armillary.evaluators import EVALUATORS
from armillary.evaluators.explanation import (
    BesideCost,
    ChipRates,
    ExplainsDesigns,
    Explanation,
    FusedCost,
    LayerCost,
)
from armillary.execution.limits import Limits
from armillary.execution.single import evaluated
from armillary.hardware.templates import TEMPLATES
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.studies.results import Contender, Proof
from armillary.studies.stages import TIMES, Setting
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Candidate, Evaluation, Evaluator, Failure
from armillary.workloads.layer import NotMapped

RESULTS = "results.json"
RESULTS_VERSION = 5


@dataclass(frozen=True)
class Compared:
    """The designs that a study compares."""

    winner: Contender
    best_of_log: Contender
    baseline: Contender | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the contenders, JSON-ready."""
        named = {"winner": self.winner, "best_of_log": self.best_of_log, "baseline": self.baseline}
        return {name: None if contender is None else _as_dict(contender) for name, contender in named.items()}

    @staticmethod
    def read(content: Mapping[str, Any], space: Space) -> Compared:
        """Return the contenders that `as_dict` described."""
        baseline = content["baseline"]
        return Compared(
            winner=_from_dict(content["winner"], space),
            best_of_log=_from_dict(content["best_of_log"], space),
            baseline=None if baseline is None else _from_dict(baseline, space),
        )


def contender_of(name: str, note: str, evaluation: Evaluation, evaluator: Evaluator, setting: Setting) -> Contender:
    """Return an evaluated design as a contender, taken apart where the evaluator can.

    A row of a log tells no layers; where they are missing, the design is evaluated once more by its evaluator.
    Its metrics are those measured, and those that are asked for and follow from them.
    """
    whole = evaluation
    explanation = None
    if evaluation.feasible and isinstance(evaluator, ExplainsDesigns):
        if not evaluation.layers:
            whole = evaluator.evaluate([Candidate(evaluation.design)], setting.workload)[0]
        explanation = evaluator.explain(whole, setting.workload)
    metrics = setting.problem.with_derived(evaluation.metrics)
    return Contender(name, evaluation.design, metrics, explanation, evaluation.failure, note)


def compared(setting: Setting, winner: Evaluation, note: str, of_log: Evaluation, of_log_note: str) -> Compared:
    """Return a study's winner beside the best of its log and the template's baseline, all by the study's evaluator."""
    evaluator = setting.executor.evaluator(setting.spec)
    baseline = None
    template = setting.template
    if template.baseline is not None:
        row = evaluated(evaluator, Candidate(template.baseline), setting.workload, Limits().retries)
        note_of_it = f"{template.baseline_note}, our evaluator"
        baseline = contender_of(template.baseline_name, note_of_it, row, evaluator, setting)
    return Compared(
        winner=contender_of("Winner", note, winner, evaluator, setting),
        best_of_log=contender_of("Best of log", of_log_note, of_log, evaluator, setting),
        baseline=baseline,
    )


def write_results(setting: Setting, found: Compared, proof: Proof | None, more: Mapping[str, Any]) -> None:
    """Write what a study found: the design, and all that its report needs."""
    folder = setting.folder
    folder.write_text(folder.design.name, _design_yaml(setting, found.winner, proof))
    folder.write(
        RESULTS,
        {
            "results_version": RESULTS_VERSION,
            "command": setting.command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(setting),
            **found.as_dict(),
            **more,
            "not_mapped": [asdict(row) for row in setting.workload.not_mapped],
            "unknown_work": list(setting.workload.unknown_work),
            "import_warnings": list(setting.workload.warnings),
        },
    )


def read_results(folder: StudyFolder) -> dict[str, Any]:
    """Return what `write_results` wrote.

    Raises:
        ArmillaryError: if the study is not finished, or was finished by an earlier Armillary.
    """
    content = folder.read(RESULTS)
    if content.get("results_version") != RESULTS_VERSION:
        raise ArmillaryError(
            f"{folder.path / RESULTS}: was written by another version of Armillary; run the study's command again, "
            "which evaluates nothing that is logged"
        )
    return content


def header(folder: StudyFolder, content: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return those fields of `StudyResults` that the results of every study hold."""
    found = Compared.read(content, space)
    return {
        "command": content["command"],
        "created": datetime.fromisoformat(content["created"]),
        "versions": content["versions"],
        "stage_seconds": folder.read(TIMES),
        "winner": found.winner,
        "best_of_log": found.best_of_log,
        "baseline": found.baseline,
        "not_mapped": tuple(NotMapped(**row) for row in content["not_mapped"]),
        "unknown_work": tuple(content["unknown_work"]),
        "import_warnings": tuple(content["import_warnings"]),
        "report_command": f"armillary report {folder.path}",
    }


def _as_dict(contender: Contender) -> dict[str, Any]:
    return {**asdict(contender), "design": contender.design.as_dict()}


def _from_dict(fields: Mapping[str, Any], space: Space) -> Contender:
    explanation, failure = fields["explanation"], fields["failure"]
    return Contender(
        name=fields["name"],
        design=space.design_from(fields["design"], fields["name"]),
        metrics=fields["metrics"],
        explanation=None if explanation is None else _explanation(explanation),
        failure=None if failure is None else Failure(**failure),
        note=fields["note"],
    )


def _explanation(fields: Mapping[str, Any]) -> Explanation:
    layers = tuple(LayerCost(**layer) for layer in fields["layers"])
    beside = tuple(BesideCost(**cost) for cost in fields["beside"])
    fused = tuple(FusedCost(**cost) for cost in fields.get("fused", ()))
    named = {"layers": layers, "rates": ChipRates(**fields["rates"]), "fixed": tuple(fields["fixed"])}
    return Explanation(**{**fields, **named, "beside": beside, "fused": fused})


def _design_yaml(setting: Setting, winner: Contender, proof: Proof | None) -> str:
    spec, bounds = setting.spec, setting.problem.upper_bounds
    content = {
        "template": setting.template.name,
        "design": winner.design.as_dict(),
        "workload": setting.workload.name,
        "metrics": dict(winner.metrics),
        "objective": {**_goals(setting.problem), **bounds},
        "evaluator": f"{spec.name} {spec.version} ({spec.fidelity})",
        **_proof_of(winner, proof),
        "command": setting.command,
        "armillary": armillary.__version__,
    }
    return yaml.safe_dump(content, sort_keys=False)


def _goals(problem: Problem) -> dict[str, Any]:
    """Return what is minimised and what maximised; one metric as it is, several as a list."""
    found = {}
    for word, direction in (("minimise", "minimize"), ("maximise", "maximize")):
        named = [objective.metric for objective in problem.objectives if objective.direction == direction]
        if named:
            found[word] = named[0] if len(named) == 1 else named
    least = {f"at least {bound.metric}": bound.at_least for bound in problem.bounds if bound.at_least is not None}
    return {**found, **least}


def _proof_of(winner: Contender, proof: Proof | None) -> dict[str, Any]:
    """Return what a truer evaluator measured of the winner."""
    rows = [] if proof is None else [e for e in proof.evaluations.to_list() if e.design == winner.design]
    return {"proven": {str(row.fidelity): dict(row.metrics) for row in rows}} if rows else {}


def _versions(setting: Setting) -> dict[str, str]:
    packages = {name: metadata.version(name) for name in ("torch", "numpy", "onnx", "pyarrow")}
    asked, template = setting.folder.request(), setting.template.name
    for registry, member in (
        (TEMPLATES, template),
        (EVALUATORS, f"{template}.{setting.spec.fidelity}"),
        (surrogates.REGISTRY, asked.get("surrogate", "")),
        (optimizers.REGISTRY, asked.get("optimizer", "")),
    ):
        packages |= registry.packages(member)
    return {
        "armillary": armillary.__version__,
        f"evaluator {setting.spec.name}": setting.spec.version,
        "python": platform.python_version(),
        **packages,
    }
