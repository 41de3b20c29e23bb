import json
import sys
import time

import pytest

from armillary.evaluators.external import ExternalEvaluator, Program
from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import AccidentError, ArmillaryError, Fidelity
from armillary.workloads import zoo

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


def program(tmp_path, script, **options):
    path = tmp_path / "simulator.py"
    path.write_text(script)
    return Program(name="sim", version="1", command=(sys.executable, str(path)), **options)


def one(tmp_path, script, **options):
    evaluator = ExternalEvaluator(program=program(tmp_path, script, **options), seed=7)
    return evaluator.evaluate([EDGE_TPU], zoo.build("mobilenet_v2"))[0]


class TestExternal(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, tmp_path):
        return ExternalEvaluator(program=program(tmp_path, MODEL))

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
    assert answer.fidelity == Fidelity.EXTERNAL
    assert answer.seconds > 0


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
        ('print(\'{"feasible": false, "failure": {"why": 1}}\')', r"failure holds other fields than"),
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
    wrapper = Program(name="sim", version="1", command=("sh", str(script)))
    with pytest.raises(AccidentError, match="exit status 137, which says that its program was ended by SIGKILL"):
        ExternalEvaluator(program=wrapper).evaluate([EDGE_TPU], zoo.build("mobilenet_v2"))


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


def test_a_missing_program_says_how_to_install_it():
    missing = Program(name="timeloop", version="3", command=("timeloop-model-xyz",), install="see its manual")
    with pytest.raises(ArmillaryError, match=r"timeloop: 'timeloop-model-xyz' is not installed; see its manual"):
        ExternalEvaluator(program=missing)


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
    evaluator = ExternalEvaluator(program=program(tmp_path, MODEL))
    designs = SPACE.designs(sample(SPACE, 3, "random", 0))
    assert len(evaluator.evaluate(designs, zoo.build("unet"))) == 3
