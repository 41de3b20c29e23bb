"""Timeloop's YAML files, version 0.3 and 0.4: architectures, problems and mappings, in and out.

What our model does not have is refused by name, never passed over.
"""

from armillary.hardware.timeloop.architecture import architecture_yaml, load_architecture
from armillary.hardware.timeloop.mapping import load_mapping, mapping_yaml
from armillary.hardware.timeloop.problem import Problem, load_problem, problem_yaml

__all__ = [
    "Problem",
    "architecture_yaml",
    "load_architecture",
    "load_mapping",
    "load_problem",
    "mapping_yaml",
    "problem_yaml",
]
