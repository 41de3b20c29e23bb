import ast
import re
import subprocess
import sys
from pathlib import Path

import onnx

from armillary.hardware import templates
from armillary.studies.design_file import read_design
from armillary.studies.evaluate import evaluate_one
from armillary.types import Fidelity
from armillary.workloads.onnx.importer import import_onnx

ROOT = Path(__file__).parents[2]


def test_reference_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_example_writes_mobilenet_v2(tmp_path):
    path = tmp_path / "mobilenet_v2.onnx"
    subprocess.run([sys.executable, ROOT / "examples" / "export_mobilenet_v2.py", path], check=True)
    assert len(onnx.load(path).graph.node) > 100


def test_the_example_of_a_small_algorithm_fits_its_design(tmp_path):
    path = tmp_path / "svm.onnx"
    subprocess.run([sys.executable, ROOT / "examples" / "svm_to_onnx.py", path], check=True)
    template = templates.load("axiline")
    design = read_design(ROOT / "examples" / "axiline.yaml", template.space, template.defaults)
    answer = evaluate_one(template, design, import_onnx(path), Fidelity.ANALYTICAL)
    assert answer.metrics["per_input_cycles"] == 14


def test_every_command_of_the_readme_exists():
    from armillary.cli import app

    names = {c.name or c.callback.__name__ for c in app.registered_commands} | {g.name for g in app.registered_groups}
    lines = [
        line
        for file in ("README.md", "docs/howto.md", "docs/tutorial.md")
        for line in (ROOT / file).read_text().splitlines()
    ]
    used = {
        re.sub(r"^(-\S+ (\S+\.txt )?)+", "", line.split("armillary ")[1]).split()[0]  # options may stand before it
        for line in lines
        if line.strip().startswith(("armillary ", "$ armillary "))
    }
    assert used
    assert used <= names


INCLUDE = re.compile(r"```\{literalinclude\} (\S+)\n((?::[\w-]+:.*\n)*)```")


def objects(path):
    """Return the names of the classes, functions and methods of a module."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    tree = ast.parse(path.read_text())
    outer = [node for node in tree.body if isinstance(node, kinds)]
    inner = [f"{node.name}.{part.name}" for node in outer for part in node.body if isinstance(part, kinds)]
    return [node.name for node in outer] + inner


def test_what_the_pages_include_is_there():
    found = 0
    for page in (ROOT / "docs").rglob("*.md"):
        for name, options in INCLUDE.findall(page.read_text()):
            found += 1
            path = page.parent / name
            assert path.is_file(), f"{page} includes {name}"
            for option, value in re.findall(r":([\w-]+): (.*)", options):
                there = {"pyobject": lambda p, v: v in objects(p), "language": lambda *_: True}.get(
                    option, lambda p, v: v in p.read_text()
                )
                assert there(path, value), f"{page}: {name} has no {value}"
    assert found >= 5
