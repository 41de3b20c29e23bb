import subprocess
import sys
from pathlib import Path

import onnx

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


def test_every_command_of_the_readme_exists():
    from armillary.cli import app

    names = {c.name or c.callback.__name__ for c in app.registered_commands} | {g.name for g in app.registered_groups}
    lines = [
        line
        for file in ("README.md", "docs/howto.md", "docs/tutorial.md")
        for line in (ROOT / file).read_text().splitlines()
    ]
    used = {
        line.split("armillary ")[1].split()[0]
        for line in lines
        if line.strip().startswith(("armillary ", "$ armillary "))
    }
    assert used
    assert used <= names
