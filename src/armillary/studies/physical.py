"""Layouts of a user's own RTL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from armillary.evaluators.kind import faults
from armillary.evaluators.physical import flow
from armillary.evaluators.physical.flow import Layout
from armillary.evaluators.physical.knobs import Knobs
from armillary.types import ArmillaryError


def lay_out(
    sources: Sequence[Path],
    top: str,
    options: Mapping[str, Any],
    folder: Path,
    *,
    macros: Mapping[str, int] | None = None,
    seed: int = 0,
    saif: Path | None = None,
    saif_scope: str = "",
    on_step: Callable[[str], None] = lambda _: None,
) -> Layout:
    """Lay RTL out in a folder; see `flow.run`.

    Raises:
        ArmillaryError: if an option is unknown or not allowed (names every one), a file cannot be read, or a tool is
            missing.
        AccidentError: if a tool is killed.
    """
    try:
        knobs = Knobs.model_validate(dict(options))
    except ValidationError as fault:
        raise ArmillaryError(f"physical: {faults(Knobs, fault)}") from None
    return flow.run(
        sources, top, knobs, folder, macros=macros, seed=seed, saif=saif, saif_scope=saif_scope, on_step=on_step
    )


def repeat(folder: Path, *, on_step: Callable[[str], None] = lambda _: None) -> Layout:
    """Lay out again what a folder holds; finished steps are taken from the cache; see `flow.repeat`.

    Raises:
        ArmillaryError: if it holds no layout's job, or a tool is missing.
        AccidentError: if a tool is killed.
    """
    return flow.repeat(folder, on_step=on_step)
