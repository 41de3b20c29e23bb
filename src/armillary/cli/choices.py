"""What an option may be, for help and completion: read from the registries when somebody asks, never listed twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typer.core import TyperCommand


def _templates() -> Sequence[str]:
    from armillary.hardware import templates

    return templates.names()


def _surrogates() -> Sequence[str]:
    from armillary import surrogates

    return surrogates.names()


def _optimizers() -> Sequence[str]:
    from armillary import optimizers

    return optimizers.names()


def _fidelities() -> Sequence[str]:
    from armillary import evaluators

    return evaluators.offered()


def _samplers() -> Sequence[str]:
    from armillary.spaces.samplers import SAMPLERS

    return list(SAMPLERS)


def _schedules() -> Sequence[str]:
    from armillary.surrogates.prime.schedules import SCHEDULES

    return list(SCHEDULES)


def _methods() -> Sequence[str]:
    from armillary.mapping.goals import METHODS

    return METHODS


def _platforms() -> Sequence[str]:
    from armillary.hardware.rtl import PLATFORMS

    return PLATFORMS.names()


def _goals() -> Sequence[str]:
    from armillary.mapping.goals import GOALS

    return GOALS


def _executors() -> Sequence[str]:
    from armillary import execution

    return execution.names()


CHOICES: Mapping[str, Callable[[], Sequence[str]]] = {
    "templates": _templates,
    "surrogates": _surrogates,
    "optimizers": _optimizers,
    "fidelities": _fidelities,
    "samplers": _samplers,
    "schedules": _schedules,
    "methods": _methods,
    "goals": _goals,
    "platforms": _platforms,
    "executors": _executors,
}
"""By the word that stands in braces in an option's help."""


def completing(kind: str) -> Callable[[str], list[str]]:
    """Return what completes an option of a kind in a shell."""
    return lambda incomplete: [name for name in CHOICES[kind]() if name.startswith(incomplete)]


def expanded(text: str) -> str:
    """Return help with the choices that its braces stand for: `{samplers}` -> `random, lhs, sobol, halton`."""
    return re.sub(r"\{(\w+)\}", lambda found: ", ".join(CHOICES[found[1]]()), text)


class Choosing(TyperCommand):
    """A command whose help lists what its options may be; running it lists nothing."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        for parameter in self.params:
            if text := getattr(parameter, "help", None):
                parameter.help = expanded(text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)
