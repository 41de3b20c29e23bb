"""What is registered of an evaluator: whose designs it evaluates, how true it is, its options and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from armillary.problems.rung import Rung
from armillary.types import ArmillaryError, Cost, Design, Evaluator, EvaluatorSpec, Fidelity


class Options(BaseModel):
    """The options of an evaluator: typed fields with descriptions, which `--help` shows and every row records.

    This one has none; an evaluator that has some derives its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


ClockPeriod = Annotated[
    float,
    Field(
        gt=0,
        le=1000,
        description="Period of the clock, which turns cycles into seconds; no layout stands behind it.",
    ),
]
"""An option of evaluators that count cycles alone, in ns."""


@runtime_checkable
class EvaluatesAlgorithms(Protocol):
    """The capability of an evaluator to take a workload for the algorithm that it is, with or without layers."""

    @property
    def algorithms(self) -> Sequence[str]:
        """The names of the algorithms that it takes."""
        ...


@runtime_checkable
class EvaluatesDataflow(Protocol):
    """The capability of an evaluator to take a workload for its scalar operations, with or without layers."""

    @property
    def operations(self) -> Sequence[str]:
        """The kinds of operations that it takes."""
        ...


@runtime_checkable
class CountsElsewhere(Protocol):
    """The capability of an evaluator to take what another one takes, which counts its cycles."""

    @property
    def counting(self) -> Evaluator:
        """The evaluator that counts."""
        ...


@runtime_checkable
class LaysOut(Protocol):
    """The capability of an evaluator to show the layout behind an evaluation."""

    def layout_folder(self, design: Design) -> Path:
        """Return the folder of a design's layout with its pictures, and its RTL in `rtl`; made once.

        Raises:
            ArmillaryError: if a tool is missing.
            AccidentError: if a tool is killed.
        """
        ...


@runtime_checkable
class HasRungs(Protocol):
    """The capability of an evaluator to stop early and say what is known by then."""

    def rungs(self) -> Sequence[Rung]:
        """Return the evaluators that stop before this one does, the first to stop first.

        What one of them did is kept, so that those that go on do the rest alone.
        """
        ...


def rungs_of(evaluator: object) -> tuple[Rung, ...]:
    """Return the evaluators that stop before one does, see `HasRungs`; none of an evaluator that cannot stop early."""
    return tuple(evaluator.rungs()) if isinstance(evaluator, HasRungs) else ()


@dataclass(frozen=True)
class EvaluatorKind:
    """An evaluator as it is registered.

    Attributes:
        template: whose designs it evaluates.
        fidelity: how true it is.
        name: in the log.
        version: another one makes earlier rows another evaluator's.
        cost: what an evaluation takes.
        make: the evaluator, of its specification and its options.
        options: its options with their defaults.
        takes_widths: whether widths of a layer's own count; if not, its hardware has widths of its own.
    """

    template: str
    fidelity: Fidelity
    name: str
    version: str
    cost: Cost
    make: Callable[[EvaluatorSpec, Any], Evaluator]
    options: type[Options] = Options
    takes_widths: bool = False

    def spec(self, options: Mapping[str, Any] | None = None, *, seed: int = 0) -> EvaluatorSpec:
        """Return the specification with these options, the others at their defaults.

        Raises:
            ArmillaryError: names every wrong option and what is allowed.
        """
        asked = _asked.get()
        if asked is not None:
            asked[f"{self.template}.{self.fidelity}"] = self.version
        try:
            chosen = self.options.model_validate(dict(options or {}))
        except ValidationError as fault:
            raise ArmillaryError(f"evaluator {self.name}: {faults(self.options, fault)}") from None
        return EvaluatorSpec(
            template=self.template,
            fidelity=self.fidelity,
            name=self.name,
            version=self.version,
            options=chosen.model_dump(mode="json"),
            cost=self.cost,
            seed=seed,
        )

    def evaluator(self, spec: EvaluatorSpec) -> Evaluator:
        """Return the evaluator that a specification describes.

        Raises:
            ArmillaryError: if a tool that it needs is missing; says how to install it.
        """
        return self.make(spec, self.options.model_validate(dict(spec.options)))


_asked: ContextVar[dict[str, str] | None] = ContextVar("asked", default=None)


@contextmanager
def versions_asked() -> Iterator[dict[str, str]]:
    """Provide a table that is filled while the block runs: each evaluator that is specified, and its version.

    Names are as in the registry, `template.fidelity`. What other processes and threads specify is not in it.
    """
    asked: dict[str, str] = {}
    before = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(before)


def faults(options: type[Options], fault: ValidationError) -> str:
    """Return every wrong option of a request, with what is allowed."""
    named = []
    for error in fault.errors():
        name = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            named.append(f"option {name!r} is unknown; it has {sorted(options.model_fields) or 'none'}")
        else:
            named.append(f"option {name}={error['input']!r} is not allowed: {error['msg']}")
    return "; ".join(named)
