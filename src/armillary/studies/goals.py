"""What an evaluator's own mapper is to minimise for a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from armillary import evaluators
from armillary.mapping.goals import Goal
from armillary.types import ArmillaryError, Fidelity

GOALS: Mapping[str, Goal] = {
    "runtime_s": "delay",
    "tokens_per_s": "delay",
    "time_to_first_token_s": "delay",
    "energy_per_token_pj": "energy",
    "delay_cycles": "delay",
    "energy_pj": "energy",
    "energy_j": "energy",
    "edp_pj_cycles": "edp",
}
"""By the metric that a study minimises."""


def options_for(
    template: str, fidelity: Fidelity, metrics: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an evaluator's options, the goal of its mapper that of the study unless it is given.

    Of several metrics, mappings that are good for one goal may be bad for another; then their EDP is minimised.

    Raises:
        ArmillaryError: if there is no such evaluator, or no metric says which mapping is best.
    """
    fields = evaluators.kind_of(template, fidelity).options.model_fields
    # a goal that means something else is the evaluator's own affair
    if "goal" not in fields or get_args(fields["goal"].annotation) != get_args(Goal) or "goal" in options:
        return dict(options)
    goals = {GOALS[metric] for metric in metrics if metric in GOALS}
    if not goals:
        raise ArmillaryError(
            f"metric {metrics[0]!r} does not say which mapping of a layer is best; choose one of {list(GOALS)}, or "
            "give the evaluator's option goal"
        )
    return {**options, "goal": goals.pop() if len(goals) == 1 else "edp"}
