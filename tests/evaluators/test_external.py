import json
import sys
import time

import pytest
import yaml

from armillary.evaluators import make
from armillary.evaluators.external import OwnEvaluator, Program, spec_of
from armillary.hardware.bits import Bits
from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE
from armillary.problems.problem_file import read_problem
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import AccidentError, ArmillaryError, Candidate, Design, EvaluatorSpec, Fidelity, MappingSearch
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

MODEL = """
import json, sys
asked = json.load(sys.stdin)
pes = asked["design"]["pes_x"] * asked["design"]["pes_y"]
macs = sum(l["count"] * l["N"] * l["K"] * l["P"] * l["Q"] for l in asked["workload"]["layers"])
if pes > 256:
    answer = {"feasible": False, "failure": {"resource": "pes", "needed": pes, "available": 256}}
else:
    answer = {"metrics": {"delay_cycles": macs / pes}}
json.dump(answer, sys.stdout)
"""


def description(tmp_path, script, **fields):
    """Write a program and its description; return the latter's path."""
    (tmp_path / "simulator.py").write_text(script)
    content = {"name": "sim", "version": "1", "command": [sys.executable, str(tmp_path / "simulator.py")], **fields}
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "sim.yaml"


def external(tmp_path, script, *, seed=0, **fields):
    return make(spec_of(description(tmp_path, script, **fields), SPACE.name, seed=seed))


def one(tmp_path, script, **fields):
    evaluator = external(tmp_path, script, seed=7, **fields)
    return evaluator.evaluate([Candidate(EDGE_TPU)], zoo.build("mobilenet_v2"))[0]


class TestExternal(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, tmp_path):
        return external(tmp_path, MODEL)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return zoo.build("mobilenet_v2")


def test_the_program_sees_design_workload_and_seed(tmp_path):
    script = (
        "import json, sys\na = json.load(sys.stdin)\n"
        "assert a['seed'] == 7 and a['workload']['name'] == 'mobilenet_v2' and a['design']['pes_x'] == 4\n"
        "print(json.dumps({'metrics': {'runtime_s': 0.5}}))"
    )
    answer = one(tmp_path, script)
    assert answer.metrics == {"runtime_s": 0.5}
    assert (answer.evaluator, answer.version, answer.fidelity) == ("sim", "1", Fidelity.EXTERNAL)
    assert answer.options == {"program": str(tmp_path / "sim.yaml")}
    assert (answer.seed, answer.seconds > 0) == (7, True)


def test_the_program_sees_widths_of_a_layer_that_has_some(tmp_path):
    script = (
        "import json, sys\nlayers = json.load(sys.stdin)['workload']['layers']\n"
        "assert [layer.get('bits', {}).get('W') for layer in layers] == [None, 4], layers\n"
        "print(json.dumps({'metrics': {'runtime_s': 0.5}}))"
    )
    layers = (Layer("a", "gemm", K=8), Layer("b", "gemm", K=8, bits=Bits(W=4)))
    workload = Workload("two", tuple(map(LayerUse, layers)))
    answer = external(tmp_path, script).evaluate([Candidate(EDGE_TPU)], workload)[0]
    assert answer.metrics == {"runtime_s": 0.5}, answer.failure


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit('no licence')", r"error: exit status 1: no licence"),
        ("print('hello')", r"error: its answer is no result .*'hello'"),
        ("print('[1]')", r"not a JSON object"),
        ('print(\'{"metrics": {"speed": 1}}\')', r"metric 'speed' is unknown; known are"),
        ('print(\'{"metrics": {"runtime_s": -1}}\')', r"runtime_s=-1\.0 is no positive number"),
        ('print(\'{"metrics": {"runtime_s": NaN}}\')', r"runtime_s=nan is no positive number"),
        ("print('{}')", r"feasible, but without metrics"),
        ('print(\'{"feasible": false, "failure": {"why": 1}}\')', r"failure\.why: Extra inputs are not permitted"),
        ("print('{\"metrics\": []}')", r"metrics: Input should be a valid dictionary, got \[\]"),
        ('print(\'{"metrics": {"runtime_s": "1"}}\')', r"metrics\.runtime_s: Input should be a valid number, got '1'"),
        ('print(\'{"metrics": {"runtime_s": 1}, "feasible": "false"}\')', r"feasible: .*valid boolean, got 'false'"),
        ('print(\'{"feasible": false, "failure": {"needed": "x"}}\')', r"failure\.needed: .*valid number, got 'x'"),
        ('print(\'{"metrics": {"runtime_s": 1}, "failure": {}}\')', r"holds a failure, but no .feasible.: false"),
        ('print(\'{"feasible": true, "feasible": false}\')', r"'feasible' stands twice in one object"),
        ('print(\'{"metrics": {"runtime_s": 1}, "extra": 1}\')', r"extra: Extra inputs are not permitted"),
        ("print('[' * 100_000)", r"its answer is no result \(it is nested too deeply\)"),
        ("print('{\"metrics\": {\"runtime_s\": ' + '9' * 5000 + '}}')", r"its answer is no result \(Exceeds the limit"),
        ("while True: print('x' * 1_000_000)", r"error: wrote more than 67,108,864 bytes"),
    ],
)
def test_what_goes_wrong_is_an_answer(script, message, tmp_path):
    answer = one(tmp_path, script)
    assert not answer.feasible
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(answer.failure))


def test_a_program_that_a_signal_ended_gave_no_answer(tmp_path):
    with pytest.raises(AccidentError, match=r"ended by SIGSEGV after .*; run it again by hand: .*run\.sh"):
        one(tmp_path, "import os; os.kill(os.getpid(), 11)")


def test_a_script_whose_simulator_was_killed_gave_no_answer(tmp_path):
    script = tmp_path / "wrapper.sh"
    script.write_text("sh -c 'kill -KILL $$'\n")
    with pytest.raises(AccidentError, match="exit status 137, which says that its program was ended by SIGKILL"):
        one(tmp_path, "", command=["sh", str(script)])


def test_a_failed_run_is_kept_and_its_failure_is_the_same_text_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMILLARY_KEPT", str(tmp_path / "kept"))
    answer = one(tmp_path, "import sys; sys.exit('no licence')")
    assert str(answer.failure) == "error: exit status 1: no licence"
    (kept,) = (tmp_path / "kept").iterdir()
    assert json.loads((kept / "stdin").read_text())["design"] == EDGE_TPU.as_dict()


def test_the_program_sees_little_of_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    script = "import os, sys; sys.exit(f\"{os.environ.get('SECRET')} {os.environ['MORE']} {'PATH' in os.environ}\")"
    assert str(one(tmp_path, script, environment={"MORE": "2"}).failure) == "error: exit status 1: None 2 True"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    mark, child = tmp_path / "alive", tmp_path / "child.py"
    child.write_text(f"import time\ntime.sleep(2)\nopen({str(mark)!r}, 'w')\n")
    script = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, {str(child)!r}])\ntime.sleep(60)"
    start = time.perf_counter()
    answer = one(tmp_path, script, time_limit_s=0.5)
    assert str(answer.failure) == "timeout: no answer within 0.5 s"
    assert time.perf_counter() - start < 10
    time.sleep(2.5)
    assert not mark.exists()


def test_a_missing_program_says_how_to_install_it(tmp_path):
    missing = description(tmp_path, "", name="timeloop", command=["timeloop-model-xyz"], install="see its manual")
    with pytest.raises(ArmillaryError, match=r"timeloop: 'timeloop-model-xyz' is not installed; see its manual"):
        make(spec_of(missing, "edge_tpu"))


@pytest.mark.parametrize("brought", [{"mappings": {"conv1": "L0[WIO] N1"}}, {"search": MappingSearch("thorough")}])
def test_a_program_cannot_be_told_mappings(brought, tmp_path):
    with pytest.raises(ArmillaryError, match="evaluator sim of template 'edge_tpu' takes no mappings"):
        external(tmp_path, MODEL).evaluate([Candidate(EDGE_TPU, **brought)], zoo.build("unet"))


def test_metrics_that_only_the_program_knows_are_taken(tmp_path):
    script = 'print(\'{"metrics": {"lut_count": 12}}\')'
    assert one(tmp_path, script, metrics={"lut_count": "1"}).metrics == {"lut_count": 12.0}
    assert "metric 'lut_count' is unknown" in str(one(tmp_path, script).failure)


OWN = """
name: own
parameters: {size: [1, 2]}
metrics: {latency: {unit: s, goal: minimize}}
evaluator: {command: [python3, simulator.py], version: '1'}
"""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"latency": 1.0, "feasible": "false"}, "feasible='false' is not allowed; it must be true or false"),
        ({"latency": True}, "latency=True is no number"),
        ({"latency": [1]}, r"latency=\[1\] is no number"),
    ],
)
def test_a_row_of_wrong_types_is_no_result(answer, message, tmp_path):
    (tmp_path / "problem.yaml").write_text(OWN)
    (tmp_path / "simulator.py").write_text(f"import json\nprint(json.dumps({answer!r}))")
    file = read_problem(tmp_path / "problem.yaml")
    spec = EvaluatorSpec("own", Fidelity.EXTERNAL, "own", "1")
    found = OwnEvaluator(file, spec).evaluate([Candidate(Design("own", (("size", 1),)))], zoo.build("unet"))[0]
    assert not found.feasible
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(found.failure))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nversion: '1'\n", r"sim\.yaml: command: Field required"),
        ("name: a\nversion: '1'\ncommand: [a]\ntime_limit_s: 0\n", r"time_limit_s: .*greater than 0"),
        ("name: a\nversion: '1'\ncommand: [a]\nshell: yes\n", r"shell: Extra inputs"),
        ("7", r"describes no program"),
        ("a: [", r"is no YAML"),
    ],
)
def test_a_wrong_description_is_told(text, message, tmp_path):
    (tmp_path / "sim.yaml").write_text(text)
    with pytest.raises(ArmillaryError, match=message):
        Program.load(tmp_path / "sim.yaml")


def test_a_description_is_read(tmp_path):
    (tmp_path / "sim.yaml").write_text("name: a\nversion: '2'\ncommand: [python3, sim.py]\nenvironment: {A: b}\n")
    assert Program.load(tmp_path / "sim.yaml").command == ("python3", "sim.py")


def test_samples_of_the_space_are_answered_alike(tmp_path):
    candidates = [Candidate(design) for design in SPACE.designs(sample(SPACE, 3, "random", 0))]
    assert len(external(tmp_path, MODEL).evaluate(candidates, zoo.build("unet"))) == 3
