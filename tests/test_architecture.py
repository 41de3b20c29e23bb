"""The layering: each room imports only rooms that stand above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import armillary

ROOT = Path(armillary.__file__).parent
ORDER = (
    "types", "registry", "yaml_file", "workloads", "spaces", "hardware", "evaluators", "log", "surrogates",
    "optimizers", "studies", "reports", "benchmarks", "console", "cli",
)  # fmt: skip
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 600, 60
# Commands of the command line are options first of all; Typer wants each as a parameter of its own.
LONG_FUNCTIONS = {"design", "search"}


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(tree):
    """Yield the rooms that a module imports at run time."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.module, "imports are absolute"
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "armillary" else [node.module]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "armillary" and len(parts) > 1 and parts[1] in ORDER:
                yield parts[1]


@pytest.mark.parametrize("path", [m for m in MODULES if room(m) in ORDER], ids=lambda m: str(m.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = ORDER.index(room(path))
    later = {name for name in imported_rooms(ast.parse(path.read_text())) if ORDER.index(name) > own}
    assert not later, f"{path.relative_to(ROOT)} imports {sorted(later)}, which stand below it"


def test_every_room_has_its_place():
    known = {*ORDER, "__init__", "testing", "__pycache__", "py"}
    assert {room(m) for m in MODULES} <= known


def test_types_imports_nothing_of_ours():
    assert not set(imported_rooms(ast.parse((ROOT / "types.py").read_text())))


def test_modules_and_functions_stay_short():
    long = []
    for path in MODULES:
        text = path.read_text()
        if len(text.splitlines()) > LONGEST_MODULE:
            long.append(str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name not in LONG_FUNCTIONS:
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.name} ({lines} lines)")
    assert not long


@pytest.mark.parametrize(
    "code",
    [
        "from armillary.cli import main; import sys; sys.argv = ['armillary', '--help']; main()",
        "from armillary.cli import main; import sys; sys.argv = ['armillary', 'design', '--help']; main()",
        "from armillary.cli import main; import sys; sys.argv = ['armillary', 'templates', '--json']; main()",
        "from armillary import evaluators, optimizers, surrogates; optimizers.names(); surrogates.names()",
        "from armillary.log import store",
    ],
)
def test_loads_neither_torch_nor_a_tool(code):
    heavy = {"torch", "onnx", "duckdb", "sklearn", "plotly"}
    script = (
        f"import atexit, sys\natexit.register(lambda: print('HEAVY', sorted({heavy!r} & set(sys.modules))))\n" + code
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
