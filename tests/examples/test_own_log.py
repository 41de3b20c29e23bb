"""The notebook, executed as it stands."""

import ast
import importlib
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import armillary

NOTEBOOK = Path(__file__).parents[2] / "examples" / "own_log.ipynb"
OURS = Path(armillary.__file__).parents[1]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OURS), before]))
    try:
        folder = str(tmp_path_factory.mktemp("notebook"))
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    finally:
        os.environ["PYTHONPATH"] = before
    return notebook


def outputs(notebook, kind):
    return [o["data"][kind] for c in notebook.cells for o in c.get("outputs", []) if kind in o.get("data", {})]


def imported(notebook):
    """Return the names that a notebook imports, each with its module."""
    nodes = [node for c in notebook.cells if c.cell_type == "code" for node in ast.walk(ast.parse(c.source))]
    plain = [(name.name, "") for node in nodes if isinstance(node, ast.Import) for name in node.names]
    return plain + [(n.module, name.name) for n in nodes if isinstance(n, ast.ImportFrom) for name in n.names]


def test_what_it_imports_is_there():
    found = imported(nbformat.read(NOTEBOOK, as_version=4))
    assert "armillary" in {module.split(".")[0] for module, _ in found}
    for module, name in found:
        there = importlib.import_module(module)
        assert not name or hasattr(there, name), (module, name)


@pytest.mark.slow
def test_the_search_finds_a_better_design_than_the_log_held(executed):
    text = "".join(o["text"] for c in executed.cells for o in c.get("outputs", []) if o["output_type"] == "stream")
    before, now = map(float, re.search(r"([\d.]+) ms before, ([\d.]+) ms now", text).groups())
    assert now < before


@pytest.mark.slow
def test_every_plot_and_table_is_shown(executed):
    assert len(outputs(executed, "application/vnd.plotly.v1+json")) == 4
    shown = "".join(outputs(executed, "text/html"))
    for part in ("array: 4,050 designs", "area_mm2 &lt;= 6", "Study of array", "latency_ms"):
        assert part in shown
    assert "new=80" in outputs(executed, "text/plain")[-1]


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
