"""The problem as `import armillary` offers it: read from a file, shown in notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from armillary.notebook import html_table
from armillary.problems import problem
from armillary.studies.own import OwnProblem


@dataclass(frozen=True)
class Problem(problem.Problem):
    """Which designs there are, which of them are better, and what they have to keep to.

    Read one from a file with `Problem.from_yaml`, or make it of a `Space` and its objectives:
    `Problem(space, (Objective("latency_ms"),), metrics={"latency_ms": Metric("ms", positive=True)})`.

    Attributes:
        version: of what evaluates the designs; results of different versions are never mixed.
    """

    version: str = "1"

    @staticmethod
    def from_yaml(path: str | os.PathLike[str]) -> Problem:
        """Read a problem file, with its list of candidates and its workloads.

        Raises:
            ArmillaryError: names the file and every fault with its line; or if no metric of it is a goal.
        """
        own = OwnProblem.read(Path(path))
        read = own.file.problem(own.candidates, [own.workload(name) for name in own.file.form.workloads])
        return Problem(**vars(read), version=own.spec().version)

    def _repr_html_(self) -> str:
        goals = ", ".join(f"{o.direction} {o.metric}" for o in self.objectives)
        rows = [("space", f"{self.space.name}, {self.space.size:,} designs"), ("goal", goals)]
        if self.candidates is not None:
            rows.append(("candidates", f"{len(self.candidates):,}"))
        rows += [("bound", str(bound)) for bound in self.bounds]
        rows += [("workload", workload.name) for workload in self.workloads]
        return html_table("Problem", ("", ""), rows) + self.space._repr_html_()
