"""Armillary architects deep-learning accelerators from data and prior knowledge.

What `import armillary` offers is loaded when it is first used, so that the import itself takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armillary.log.store import Log as Log
    from armillary.problems.criteria import Bound as Bound
    from armillary.problems.criteria import Objective as Objective
    from armillary.reports.plots import plot_feasibility as plot_feasibility
    from armillary.reports.plots import plot_history as plot_history
    from armillary.reports.plots import plot_importances as plot_importances
    from armillary.reports.plots import plot_pareto as plot_pareto
    from armillary.spaces.space import Parameter as Parameter
    from armillary.spaces.space import Space as Space
    from armillary.studies.problem import Problem as Problem
    from armillary.studies.study import Study as Study
    from armillary.types import ArmillaryError as ArmillaryError
    from armillary.types import Metric as Metric

__version__ = "0.1.0"

_PLACES = {
    "Problem": "armillary.studies.problem",
    "Study": "armillary.studies.study",
    "Log": "armillary.log.store",
    "Space": "armillary.spaces.space",
    "Parameter": "armillary.spaces.space",
    "Objective": "armillary.problems.criteria",
    "Bound": "armillary.problems.criteria",
    "Metric": "armillary.types",
    "ArmillaryError": "armillary.types",
    "plot_history": "armillary.reports.plots",
    "plot_pareto": "armillary.reports.plots",
    "plot_importances": "armillary.reports.plots",
    "plot_feasibility": "armillary.reports.plots",
}

__all__ = [  # noqa: RUF022  (the order of the reference page)
    "Problem",
    "Study",
    "Log",
    "Space",
    "Parameter",
    "Objective",
    "Bound",
    "Metric",
    "ArmillaryError",
    "plot_history",
    "plot_pareto",
    "plot_importances",
    "plot_feasibility",
]


def __getattr__(name: str) -> Any:
    """Return what stands under a name, loading it first (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'armillary' has no attribute {name!r}; it offers {__all__}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
