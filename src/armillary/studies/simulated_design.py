"""Design with simulations: a search whose every choice is simulated, and the winner as hardware."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from armillary.hardware.template import Template
from armillary.hardware.templates.gemmini import accelerator_of
from armillary.studies.rtl import write_rtl
from armillary.studies.search import Found, SearchRequest, run_search
from armillary.studies.study_folder import StudyFolder
from armillary.workloads.layer import Workload

OPTIMIZER = "polaris"
"""What chooses by default: `armillary bench polaris-fig63` compares it with Polaris and the other methods."""
_RTL = "rtl"


def rtl_folder(folder: StudyFolder) -> Path:
    """Return where a study leaves the hardware of its winner."""
    return folder.path / _RTL


def run_simulated_design(
    request: SearchRequest, template: Template, workload: Workload, folder: StudyFolder, **told: Any
) -> Found:
    """Simulate as many designs as the budget allows, and write design, mappings and SystemVerilog of the best.

    Args:
        request: of a search on simulations.
        template: of the family.
        workload: the network.
        folder: of the study.
        told: see `run_search`.

    Raises:
        ArmillaryError: see `run_search`.
    """
    found = run_search(request, template, workload, folder, **told)
    if found.best is None:
        return found
    written = write_rtl(accelerator_of(found.best.design), rtl_folder(folder))
    return replace(found, files=(*found.files, *written))
