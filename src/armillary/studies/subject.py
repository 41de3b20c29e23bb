"""What a command works on: a template that ships with us, or a user's problem file. Both answer the same questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from armillary import evaluators, surrogates
from armillary.evaluators.physical.space import joint, without_knobs
from armillary.execution.single import Make
from armillary.hardware import templates
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.studies.goals import options_for
from armillary.studies.own import OwnProblem
from armillary.studies.running import Running
from armillary.types import ArmillaryError, EvaluatorSpec, Fidelity
from armillary.workloads.describe import as_json
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class Simulator:
    """Who evaluates: the specification of an evaluator, and what makes it; None where only its rows are there."""

    spec: EvaluatorSpec
    make: Make | None


class Subject(Protocol):
    """A template or a user's problem."""

    @property
    def name(self) -> str:
        """Of the template or the problem."""
        ...

    @property
    def problem_path(self) -> str | None:
        """The problem file; None for a template."""
        ...

    @property
    def surrogate(self) -> str:
        """The surrogate that learns of it where a request names none."""
        ...

    def template(self, networks: Sequence[Workload] = (), *, whole: bool = False) -> Template:
        """Return it as a template, for these workloads where its parameters depend on them.

        Args:
            networks: the workloads.
            whole: with all values of parameters, as models know them, not those alone that the workloads leave open.
        """
        ...

    def workloads(self, names: Sequence[str], running: Running, log: Log | None = None) -> list[Workload]:
        """Return workloads by name or file, as they are run; without a name a problem's only one.

        Raises:
            ArmillaryError: if there is no such workload, or nothing of the subject knows phases or widths.
        """
        ...

    def simulator(self, metrics: Sequence[str] = (), *, seed: int = 0) -> Simulator:
        """Return who evaluates its designs, its mapper's goal that of the metrics."""
        ...

    def digest(self, network: Workload) -> str:
        """Return a short text that differs where a study of another subject or workload would."""
        ...


@dataclass(frozen=True)
class Shipped:
    """A template, by name, and the evaluator of a fidelity with these options."""

    name: str
    fidelity: Fidelity = Fidelity.ANALYTICAL
    options: Mapping[str, Any] = field(default_factory=dict)

    problem_path = None
    surrogate = surrogates.DEFAULT

    def template(self, networks: Sequence[Workload] = (), *, whole: bool = False) -> Template:
        """Return the template, for a workload where its parameters depend on one; see `Subject`.

        Where designs are laid out, knobs of the back end that no option names are parameters too; see `joint`.
        """
        if not templates.depends_on_workload(self.name):
            template = templates.load(self.name)
            if self.fidelity is not Fidelity.PHYSICAL:
                return template
            return joint(template, () if whole else networks, self.options)
        if len(networks) > 1:
            raise ArmillaryError(f"template {self.name!r} has parameters for each layer of one workload; name one")
        return templates.load(self.name, networks[0] if networks else None)

    def workloads(self, names: Sequence[str], running: Running, log: Log | None = None) -> list[Workload]:  # noqa: ARG002
        """Return workloads by name or file; see `Subject`."""
        if not names:
            raise ArmillaryError("no workload; name a network of the zoo or an ONNX file")
        if running.bits and not evaluators.kind_of(self.name, self.fidelity).takes_widths:
            raise ArmillaryError(
                f"--bits: the evaluator of template {self.name!r} at fidelity {str(self.fidelity)!r} has widths of its "
                "own; leave it out, or choose --template tpu_like"
            )
        return [running.load(name) for name in names]

    def simulator(self, metrics: Sequence[str] = (), *, seed: int = 0) -> Simulator:
        """Return who evaluates; see `Subject`."""
        options = options_for(self.name, self.fidelity, metrics, self.options) if metrics else self.options
        spec = evaluators.spec_of(self.name, self.fidelity, options, seed=seed)
        return Simulator(without_knobs(spec) if self.fidelity is Fidelity.PHYSICAL else spec, evaluators.make)

    def digest(self, network: Workload) -> str:
        """Return a short text; see `Subject`."""
        return _digest(as_json(network))


@dataclass(frozen=True)
class Users:
    """A user's problem."""

    own: OwnProblem

    surrogate = surrogates.DEFAULT_WITHOUT_KNOWLEDGE

    @staticmethod
    def read(path: Path) -> Users:
        """Read a problem file.

        Raises:
            ArmillaryError: names the file, and every fault with its line.
        """
        return Users(OwnProblem.read(path))

    @property
    def name(self) -> str:
        """Of the problem."""
        return self.own.file.name

    @property
    def problem_path(self) -> str | None:
        """The problem file."""
        return str(self.own.file.path.resolve())

    def template(self, networks: Sequence[Workload] = (), *, whole: bool = False) -> Template:  # noqa: ARG002
        """Return the template, which is the same for every workload; see `Subject`."""
        return self.own.template

    def workloads(self, names: Sequence[str], running: Running, log: Log | None = None) -> list[Workload]:
        """Return workloads by name or file; see `Subject`."""
        if running.phase is not None or running.bits:
            raise ArmillaryError(f"--phase and --bits are for templates; {self.own.file.path} has workloads of its own")
        return self.own.the_workloads(names, running.dims, log)

    def simulator(self, metrics: Sequence[str] = (), *, seed: int = 0) -> Simulator:  # noqa: ARG002
        """Return who evaluates; see `Subject`."""
        return Simulator(self.own.spec(seed=seed), self.own.make if self.own.has_evaluator else None)

    def digest(self, network: Workload) -> str:
        """Return a short text; see `Subject`."""
        return _digest([self.own.file.path.read_text(), as_json(network)])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
