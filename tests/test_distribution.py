"""What is released: its digests, its form, and that it works alone."""

import json
import subprocess
import sys
import tomllib
from importlib import util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _module(name):
    found = util.spec_from_file_location(name, ROOT / "release" / f"{name}.py")
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


LOCK = _module("lock")
LOCKED = (ROOT / "requirements.lock").read_text()


def test_the_lock_says_what_the_constraints_say():
    pinned, locked = LOCK.pins((ROOT / "constraints.txt").read_text()), LOCK.pins(LOCKED)
    assert {name: version for name, version in locked.items() if pinned.get(name) != version} == {}


def test_the_lock_has_every_direct_dependency_but_torch():
    direct = LOCK.pins("\n".join(f"{name.split('==')[0]}==0" for name in PROJECT["dependencies"]))
    assert set(direct) - set(LOCK.pins(LOCKED)) == {"torch"}


def test_every_package_of_the_lock_has_digests_and_nothing_names_a_registry():
    blocks = list(LOCK.blocks(LOCKED))
    assert len(blocks) == len(LOCK.pins(LOCKED))
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in LOCKED


def test_supported_pythons_are_stated_once_each():
    stated = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]
    assert stated == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={stated[0]}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(util.find_spec("cyclonedx_py") is None, reason="the tools of releases are missing; `make dist`")
def test_what_is_built_works_alone_and_is_described(tmp_path):
    """The wheel, with its marker of types and its data, in an environment that has nothing else."""
    subprocess.run([sys.executable, ROOT / "release" / "distribute.py", tmp_path / "dist"], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (materials,) = (tmp_path / "dist").glob("*.cdx.json")
    assert (tmp_path / "dist" / f"{wheel.name.split('-py3')[0]}.tar.gz").exists()
    described = json.loads(materials.read_text())
    assert described["bomFormat"] == "CycloneDX"
    assert set(LOCK.pins(LOCKED)) <= {
        component["name"].lower().replace("_", "-") for component in described["components"]
    }
    assert json.loads((tmp_path / "dist" / "licences.json").read_text())
