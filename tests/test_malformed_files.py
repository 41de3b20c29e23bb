"""Every file that a user writes, with each value in turn changed into something else: read or refused, no traceback."""

import copy
import math
from pathlib import Path

import pytest
import yaml

from armillary.evaluators.external import Program
from armillary.hardware.accelergy import with_reference
from armillary.hardware.hierarchy import Hierarchy, Level, load_hierarchy
from armillary.hardware.timeloop import load_architecture, load_mapping, load_problem
from armillary.hardware.timeloop.document import TAG, _Loader
from armillary.studies.map_network import read_mappings
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer, LayerUse, Workload
from hardware.test_accelergy import ART, CHIP, ERT
from hardware.timeloop.test_timeloop import CONV, GEMM, NODES, TREE

JUNK = (None, "", "x", 0, -1, 1.5, math.nan, 10**30, True, [], [[]], {}, {"a": 1})
LAYER = Layer("l", "gemm", K=12, C=6)
TWO = Hierarchy(name="h", levels=(Level(name="A"), Level(name="B")))
MAPPING = """
mapping:
- {target: A, type: temporal, factors: K=3 C=2, permutation: CK}
- {target: A, type: bypass, keep: [Weights, Inputs, Outputs], bypass: []}
- {target: B, type: spatial, factors: 'K=4', split: 1}
- {target: B, type: temporal, factors: ['C=3']}
"""
PROGRAM = """
name: mine
version: '1'
command: [echo, '{}']
time_limit_s: 3.0
environment: {HOME: /}
install: pip install mine
"""
KINDS = {
    "ours": (Path("examples/gemmini_16.yaml").read_text(), load_hierarchy),
    "tree": (TREE, load_architecture),
    "nodes": (NODES, load_architecture),
    "conv": (CONV, load_problem),
    "gemm": (GEMM, load_problem),
    "mapping": (MAPPING, lambda path: load_mapping(path, TWO, LAYER)),
    "ert": (ERT, lambda path: with_reference(CHIP, ert=path)),
    "art": (ART, lambda path: with_reference(CHIP, art=path)),
    "program": (PROGRAM, Program.load),
    "mappings": (
        "{l: 'L1[WIO] K12 - L0[W] C6', m: 'L1[WIO] K12 - L0[W] C6'}",
        lambda path: read_mappings(str(path), Workload("w", (LayerUse(LAYER, 1),)), TWO),
    ),
}


def places(content, path=()):
    """Yield the path of every value, the whole first."""
    yield path
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def changed(content, path, value):
    if not path:
        return value
    content = copy.deepcopy(content)
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return content


class _Dumper(yaml.SafeDumper):
    """Writes `TAG` back as a tag."""


def _tagged(dumper, content):
    if isinstance(content.get(TAG), str) and content[TAG]:
        rest = {key: value for key, value in content.items() if key != TAG}
        return dumper.represent_mapping(f"!{content[TAG]}", rest)
    return yaml.SafeDumper.represent_dict(dumper, content)


_Dumper.add_representer(dict, _tagged)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_value_is_read_or_refused(kind, tmp_path):
    text, load = KINDS[kind]
    path = tmp_path / "file.yaml"
    content = yaml.load(text, _Loader)
    messages = []
    for place in places(content):
        for junk in JUNK:
            path.write_text(yaml.dump(changed(content, place, junk), Dumper=_Dumper))
            try:
                load(path)
            except ArmillaryError as fault:
                messages.append(str(fault))
            except Exception as fault:
                raise AssertionError(f"{kind}: {place} = {junk!r}: {fault!r}") from fault
    assert messages
    assert [message for message in messages if str(path) not in message] == []
