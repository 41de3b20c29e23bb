"""The layering: each room imports only rooms that stand above it."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import armillary

ROOT = Path(armillary.__file__).parent
ORDER = (
    "types", "registry", "yaml_file", "atomic_file", "temporary", "user_cache", "cores", "compiled", "notebook",
    "metrics", "workloads", "spaces", "problems", "hardware", "tools", "cost_model", "mapping", "evaluators", "log",
    "execution", "surrogates", "optimizers",
    "studies", "reports", "integrations", "benchmarks", "console", "cli", "testing",
)  # fmt: skip
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 600, 60
LARGEST_ROOM = 0.18
# Commands of the command line are options first of all; Typer wants each as a parameter of its own.
LONG_FUNCTIONS = {"design", "search", "evaluate", "collect", "fit"}


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def name_of(path):
    return ".".join(("armillary", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def imported(path):
    """Yield the modules of ours that a module imports at run time."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.module, "imports are absolute"
            assert node.level == 0, "imports are absolute"
            whole = [f"{node.module}.{a.name}" for a in node.names]
            yield from (name if name in NAMES else node.module for name in whole if node.module in NAMES)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in NAMES)


EDGES = {name: {other for other in imported(path) if other != name} for name, path in NAMES.items()}


def second_level(name):
    """Return the folder or file of a room that a module stands in, e.g. `surrogates.prime`."""
    return ".".join(name.split(".")[1:3])


def cycle(edges):
    """Return the names along a cycle, empty if there is none."""
    sorter = graphlib.TopologicalSorter(edges)
    try:
        sorter.prepare()
    except graphlib.CycleError as fault:
        return fault.args[1]
    return []


@pytest.mark.parametrize("path", [m for m in MODULES if room(m) in ORDER], ids=lambda m: str(m.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = ORDER.index(room(path))
    rooms = {name.split(".")[1] for name in EDGES[name_of(path)] if "." in name}
    later = {name for name in rooms if ORDER.index(name) > own}
    assert not later, f"{path.relative_to(ROOT)} imports {sorted(later)}, which stand below it"


def test_no_file_imports_itself_by_way_of_others():
    assert not cycle(EDGES)


def test_no_folder_of_a_room_imports_itself_by_way_of_others():
    folders = {}
    for name, others in EDGES.items():
        own = second_level(name)
        folders.setdefault(own, set()).update({second_level(other) for other in others} - {own})
    assert not cycle(folders)


@pytest.mark.parametrize("kind", ["surrogates", "optimizers"])
def test_what_learns_and_searches_knows_no_evaluator(kind):
    knowing = [n for n, others in EDGES.items() if n.startswith(f"armillary.{kind}")
               for other in others if other.startswith("armillary.evaluators")]  # fmt: skip
    assert not knowing


def test_no_room_holds_most_of_the_house():
    lines = Counter()
    for path in MODULES:
        lines[room(path)] += len(path.read_text().splitlines())
    largest, most = lines.most_common(1)[0]
    assert most <= LARGEST_ROOM * lines.total(), f"{largest} has {most / lines.total():.1%} of the lines"


def test_every_room_has_its_place():
    known = {*ORDER, "__init__"}
    assert {room(m) for m in MODULES} <= known


def test_types_imports_nothing_of_ours():
    assert not EDGES["armillary.types"]


def test_only_tools_start_other_programs():
    starting = {"os.system", "os.popen", "os.posix_spawn", "os.fork", "pty.spawn"}
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            calls = isinstance(node, ast.Attribute) and ast.unparse(node) in starting
            if "subprocess" in names or calls:
                found.add(str(path.relative_to(ROOT)))
    assert found == {"tools/process.py", "tools/warden.py"}


def test_tools_know_nothing_of_ours_but_types_and_where_files_go():
    foreign = {other for name in EDGES if name.startswith("armillary.tools.") for other in EDGES[name]}
    assert {other for other in foreign if not other.startswith("armillary.tools.")} == {
        "armillary.temporary",
        "armillary.types",
        "armillary.user_cache",
    }


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


def test_a_study_is_read_without_botorch():
    script = "import sys, armillary.studies.loading; print({'botorch', 'gpytorch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "code",
    [
        "from armillary.cli import main; import sys; sys.argv = ['armillary', '--help']; main()",
        "from armillary.cli import main; import sys; sys.argv = ['armillary', 'design', '--help']; main()",
        "from armillary.cli import main; import sys; sys.argv = ['armillary', 'evaluate', '--help']; main()",
        "from armillary.cli import main; import sys; sys.argv = ['armillary', 'templates', '--json']; main()",
        "from armillary import evaluators, optimizers, surrogates; optimizers.names(); surrogates.names()",
        "from armillary.log import store",
        "import armillary; armillary.Study, armillary.Log, armillary.Problem",
    ],
)
def test_loads_neither_torch_nor_a_tool(code):
    heavy = {"torch", "onnx", "duckdb", "sklearn", "plotly"}
    script = (
        f"import atexit, sys\natexit.register(lambda: print('HEAVY', sorted({heavy!r} & set(sys.modules))))\n" + code
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
