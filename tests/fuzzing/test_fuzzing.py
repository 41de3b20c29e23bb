"""Five minutes of fuzzing, and that fuzzing notices."""

import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

needs_atheris = pytest.mark.skipif(util.find_spec("atheris") is None, reason="Atheris is missing; `make fuzz`")
TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@needs_atheris
def test_five_minutes_of_damaged_files_break_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fuzzing", "--minutes", "5", "--out", str(tmp_path)],
        cwd=TESTS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
