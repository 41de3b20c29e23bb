"""Fit: from a log to a saved surrogate."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from armillary import surrogates
from armillary.atomic_file import replaced
from armillary.evaluators.physical.enablement import USUAL, slowness_of, technology_of
from armillary.evaluators.physical.space import JOINT, architecture, is_joint
from armillary.log import shipped
from armillary.log.shipped import PREFIX
from armillary.log.store import InMemoryLog, Log
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.studies.progress import OnProgress, silent
from armillary.surrogates import Savable
from armillary.surrogates.ppa.elsewhere import Sources
from armillary.surrogates.several import with_evaluator_column
from armillary.types import ArmillaryError, Evaluations


class Saves(Protocol):
    """A model that writes itself to a file."""

    def save(self, target: IO[bytes]) -> None:
        """Write the model."""
        ...


def fit_surrogate(
    rows: Evaluations,
    problem: Problem,
    *,
    kind: str = surrogates.DEFAULT,
    schedule: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    by_evaluator: bool = False,
    sources: Sequence[Evaluations] = (),
    unseen_architectures: bool = False,
    on_progress: OnProgress = silent,
) -> Savable:
    """Train a surrogate that can be kept.

    Args:
        rows: what to learn from.
        problem: what to predict, and the bounds. Rows beyond one that a law tells are learned from, but do not
            validate; rows beyond others count as infeasible.
        kind: as the registry names it.
        schedule: of PRIME and its ablations: `brief`, `quick`, `full` or `paper`; `full`, if left out. Of `ppa`:
            `brief`, `quick` or `full`; `brief`, if left out. The others have none.
        seed: same seed, rows and machine, same model.
        device: of those that have a schedule: `cpu`, or `cuda` for a GPU.
        by_evaluator: learn from rows of several evaluators, with the evaluator as a column.
        sources: rows of other spaces, each of one, for surrogates that learn from them beforehand.
        unseen_architectures: other architectures than the log's will be asked, so that a surrogate of layouts judges
            itself on architectures that it left out whole.
        on_progress: called with steps done and in total.

    Raises:
        ArmillaryError: if the rows cannot be learned from, or the surrogate has no model file.
    """
    check_kind(kind, device, sources)
    registered = surrogates.kind_of(kind)
    options: dict[str, Any] = {}
    if registered.scheduled:
        options = {"schedule": schedule or registered.schedule or "full", "device": device}
    if registered.sourced:
        options["sources"] = Sources(tuple(sources), slowness_of)
    if unseen_architectures:
        check_parted(kind, problem.space)
        options["apart"] = architecture(problem.space)
    stage = f"training {kind}"
    model: Savable = surrogates.load(kind)(
        space=problem.space, seed=seed, on_progress=lambda done, total: on_progress(stage, done, total), **options
    )
    model.fit(InMemoryLog(with_evaluator_column(rows) if by_evaluator else rows), problem)
    return model


def check_device(name: str) -> None:
    """Check that this machine has a device.

    Raises:
        ArmillaryError: if it has not.
    """
    if name != "cpu":
        from armillary.surrogates.devices import device_of  # torch, which the CPU's users need not wait for here

        device_of(name)


def check_kind(kind: str, device: str = "cpu", sources: Sequence[object] = ()) -> None:
    """Check that a surrogate can be saved, trained on a device, and has what it learns from beforehand.

    Raises:
        ArmillaryError: if it is unknown, has no model file, or trains on the CPU alone; if there is no such device; if
            it needs sources and has none, or has some and learns from one log alone.
    """
    registered = surrogates.kind_of(kind)
    if registered.read is None:
        raise ArmillaryError(f"surrogate {kind!r} has no model file; choose one of {surrogates.savable()}")
    if device != "cpu" and not registered.scheduled:
        raise ArmillaryError(
            f"surrogate {kind!r} trains on the CPU alone; leave out --device {device}, or choose --surrogate prime"
        )
    if registered.sourced and not sources:
        raise ArmillaryError(
            f"surrogate {kind!r} learns from other layouts beforehand; name their log to `armillary fit`, such as "
            f"--source {PREFIX}{shipped.names()[0]}"
        )
    if sources and not registered.sourced:
        raise ArmillaryError(
            f"surrogate {kind!r} learns from one log; leave out --source, or choose --surrogate ppa-transfer"
        )
    check_device(device)


def check_parted(kind: str, space: Space) -> None:
    """Check that a surrogate can leave out architectures whole.

    Raises:
        ArmillaryError: if it cannot, or the designs of the space bring no knobs beside their architecture.
    """
    if not (surrogates.kind_of(kind).parted and is_joint(space)):
        raise ArmillaryError(
            f"--unseen-architectures: surrogate {kind!r} of {space.name} tells no architectures apart; it goes with "
            "--surrogate ppa, ppa-rtl, ppa-gcn or ppa-transfer and --template NAME.physical"
        )


def check_schedule(kind: str, schedule: str, space: Space) -> None:
    """Check that a surrogate can be trained by a schedule, if it takes one.

    Raises:
        ArmillaryError: if the schedule is unknown.
    """
    registered = surrogates.kind_of(kind)
    if registered.scheduled:
        registered.make(space=space, schedule=schedule)


def sources_of(names: Sequence[str]) -> list[Evaluations]:
    """Return the rows of each space of some logs.

    Raises:
        ArmillaryError: if one is not there.
    """
    logs = [Log(name) for name in names]
    return [log.evaluations(space) for log in logs for space in log.spaces()]


def schedule_of(kind: str, schedule: str | None, default: str) -> str:
    """Return the schedule to train by: the one given, or the surrogate's own, or the default.

    Raises:
        ArmillaryError: if one is given to a surrogate that has none.
    """
    if schedule is not None and not surrogates.kind_of(kind).scheduled:
        raise ArmillaryError(
            f"surrogate {kind!r} trains without a schedule; leave out --schedule, or choose --surrogate prime"
        )
    return schedule or surrogates.kind_of(kind).schedule or default


def rows_of(log: Log, space: Space, workloads: list[str]) -> Evaluations:
    """Return the rows of these workloads, of all if none is named.

    Raises:
        ArmillaryError: if a workload has no row; names those that have.
    """
    rows = log.evaluations(space.name)
    known = sorted(set(rows.workload.tolist()))
    missing = [name for name in workloads if name not in known]
    if missing:
        raise ArmillaryError(f"{log.path}: has no row of workload {missing[0]!r}; it has {known}")
    return rows.select(np.isin(rows.workload.astype(str), workloads)) if workloads else rows


def check_technology(rows: Evaluations, options: Mapping[str, Any], source: str) -> None:
    """Check that layouts are of the technology whose periods their space has.

    Args:
        rows: of any space.
        options: of the evaluator, as `--set` gives them.
        source: what the rows are of, for the message.

    Raises:
        ArmillaryError: if a layout is of another technology.
    """
    if not rows.space.endswith(JOINT):
        return
    asked = str(options.get("enablement", USUAL))
    others = sorted({technology_of(rows, row) for row in range(len(rows))} - {asked})
    if others:
        raise ArmillaryError(
            f"{source}: has layouts of enablement {others[0]!r}, where {asked!r} is asked for; add --set "
            f"enablement={others[0]}, or name a log of one technology"
        )


def check_savable(path: Path) -> None:
    """Check before a long training that a file can be made there, and make its folder.

    Raises:
        ArmillaryError: if it cannot; says why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be written ({fault.strerror or fault})") from fault
    if path.is_dir():
        raise ArmillaryError(f"{path}: cannot be written, it is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise ArmillaryError(f"{path}: cannot be written, its folder is read-only")


def save_atomically(model: Saves, path: Path) -> None:
    """Write a model so that a reader sees all of it or the one before.

    Raises:
        ArmillaryError: if it cannot be written; what was there before is intact.
    """
    check_savable(path)
    content = io.BytesIO()  # torch reports a full disk as a fault of its own
    model.save(content)
    with replaced(path) as unfinished:
        unfinished.write_bytes(content.getbuffer())
