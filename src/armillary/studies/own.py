"""A user's own problem as studies need it: a template, workloads, and an evaluator where the file names a simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary import workloads
from armillary.evaluators.external import OwnEvaluator
from armillary.execution.single import Make
from armillary.hardware.template import Template
from armillary.log.own_rows import read_candidates
from armillary.log.store import Log
from armillary.problems.problem_file import ProblemFile, read_problem
from armillary.types import ArmillaryError, Cost, EvaluatorSpec, Fidelity
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class OwnProblem:
    """A problem file with what it refers to.

    Attributes:
        file: as it was read.
        candidates: the only designs that exist, coded, shape [designs, parameters]; None if any may.
    """

    file: ProblemFile
    candidates: NDArray[np.int64] | None

    @staticmethod
    def read(path: Path) -> OwnProblem:
        """Read a problem file and its list of candidates.

        Raises:
            ArmillaryError: names the file, and every fault with its line.
        """
        file = read_problem(path)
        listed = file.form.candidates
        return OwnProblem(file, None if listed is None else read_candidates(file.beside(listed), file))

    @property
    def template(self) -> Template:
        """The problem as a template: its space, laws, bounds and goals."""
        file = self.file
        return Template(
            file.name,
            file.space,
            file.laws,
            bounds=file.bounds,
            objectives=file.objectives,
            metrics=file.metrics,
            exists=file.exists,
            candidates=self.candidates,
        )

    @property
    def has_evaluator(self) -> bool:
        """Whether the file names a simulator."""
        return self.file.form.evaluator is not None

    def spec(self, *, seed: int = 0) -> EvaluatorSpec:
        """Return the specification of the user's simulator, whose rows an import writes, too."""
        evaluator = self.file.form.evaluator
        return EvaluatorSpec(
            template=self.file.name,
            fidelity=Fidelity.EXTERNAL,
            name=self.file.name,
            version="1" if evaluator is None else evaluator.version,
            cost=Cost.MINUTES,
            seed=seed,
        )

    @property
    def make(self) -> Make:
        """What makes the user's simulator of its specification; see `OwnEvaluator`."""
        return partial(OwnEvaluator, self.file)

    def workload(self, name: str, dims: Mapping[str, int] | None = None, log: Log | None = None) -> Workload:
        """Return a workload by its name in the file or the log, or by an ONNX file or a name of the zoo.

        Args:
            name: as the file, the log or the zoo has it, or a path.
            dims: of an ONNX file's open dimensions.
            log: whose rows may name workloads that the file does not.

        Raises:
            ArmillaryError: if there is no such workload; lists those that there are.
        """
        given = self.file.form.workloads
        if name not in given:
            if name in self.logged(log):
                return Workload(name, (), numbers={})
            return self._loaded(name, dims, log)
        form = given[name]
        if isinstance(form, str):
            beside = self.file.beside(form)
            return replace(workloads.load(str(beside) if beside.exists() else form, dims), name=name)
        return Workload(name, (), numbers=dict(form or {}))

    def named(self, name: str) -> Workload:
        """Return a workload of a study by its name; one that the file does not tell of has no numbers."""
        return self.workload(name) if name in self.file.form.workloads else Workload(name, (), numbers={})

    def _loaded(self, name: str, dims: Mapping[str, int] | None, log: Log | None) -> Workload:
        try:
            return workloads.load(name, dims)
        except ArmillaryError as fault:
            known = list(dict.fromkeys([*self.file.form.workloads, *self.logged(log)]))
            raise ArmillaryError(f"{fault}; {self.file.path} and its log have the workloads {known}") from None

    def workload_names(self, log: Log | None = None) -> list[str]:
        """Return the workloads of the file and of the log; the problem's own name where there is none."""
        return list(dict.fromkeys([*self.file.form.workloads, *self.logged(log)])) or [self.file.name]

    def logged(self, log: Log | None) -> list[str]:
        """Return the workloads of a log's rows of this problem, sorted."""
        if log is None or self.file.name not in log.spaces():
            return []
        return sorted(set(log.evaluations(self.file.name).workload.tolist()))

    def the_workloads(self, names: Sequence[str], dims: Mapping[str, int] | None, log: Log | None) -> list[Workload]:
        """Return the workloads that are named, or the only one that there is.

        Raises:
            ArmillaryError: if none is named and there are several, or one is unknown.
        """
        if not names:
            known = self.workload_names(log)
            if len(known) > 1:
                raise ArmillaryError(
                    f"{self.file.path}: has the workloads {known}; name one or several with --workload"
                )
            if known == [self.file.name]:
                return [Workload(self.file.name, (), numbers={})]
            names = known
        return [self.workload(name, dims, log) for name in names]

    def contexts(self) -> dict[str, dict[str, float]]:
        """Return by workload the numbers that the file tells of it, for those of which it tells any."""
        given = self.file.form.workloads
        return {name: context_of(self.workload(name)).as_dict() for name in given if given[name] is not None}
