"""The results of a finished study of any kind, read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from armillary.hardware.template import Template
from armillary.studies.design import load_design
from armillary.studies.joint_design import load_joint_design
from armillary.studies.layout_design import load_layout_design
from armillary.studies.results import StudyResults
from armillary.studies.running import Running
from armillary.studies.search import load_search
from armillary.studies.study_folder import StudyFolder
from armillary.studies.subject import Shipped, Users
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads.layer import Workload


def load_study(folder: StudyFolder) -> StudyResults:
    """Return what the finished study of a folder found.

    Raises:
        ArmillaryError: if the folder holds no finished study, or what it was made from is gone or has changed.
    """
    asked = folder.request()
    template, networks = _asked_of(asked)
    if asked["kind"] == "joint":
        return load_joint_design(folder, template, networks)
    if asked["kind"] == "layouts":
        return load_layout_design(folder, template, networks[0])
    load = load_design if asked["kind"] == "design" else load_search
    return load(folder, template, networks[0])


def _asked_of(asked: dict[str, Any]) -> tuple[Template, list[Workload]]:
    """Return the template and the workloads of a request."""
    several = asked["kind"] == "joint"
    if asked["problem"] is None:
        sources = asked["sources"] if several else [asked["source"]]
        running = Running.from_dict(asked.get("running") or {})
        networks = [running.load(source) for source in sources]
        subject = Shipped(asked["template"], Fidelity(asked["fidelity"]), asked["options"])
        return subject.template(networks), networks
    path = Path(asked["problem"])
    if not path.exists():
        raise ArmillaryError(f"{path}: the problem file of the study is gone; put it back")
    own = Users.read(path).own
    names = asked["workloads"] if several else [asked["source"]]
    return own.template, [own.named(name) for name in names]
