from pathlib import Path

import pytest

from armillary.tools.command import INHERITED, Command, inherited
from armillary.types import ArmillaryError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arguments": ()}, r"arguments=\(\) is not allowed; the first names the program"),
        ({"arguments": ("",)}, r"arguments=\(''"),
        ({"time_limit_s": 0}, r"tool: time_limit_s=0 is not allowed; it must be above zero"),
        ({"time_limit_s": float("nan")}, "time_limit_s=nan"),
        ({"output_limit_bytes": 0}, "output_limit_bytes=0"),
        ({"memory_limit_bytes": -1}, "memory_limit_bytes=-1"),
        ({"arguments": ("tool", "a\0b")}, r"'a\\x00b' is not allowed"),
        ({"environment": {"A": "\0"}}, r"'\\x00' is not allowed"),
        ({"environment": {"A=B": "1"}}, "environment: 'A=B' is no name of a variable"),
        ({"inputs": (Path("a"),)}, "inputs: a is not allowed; name files inside the folder"),
        ({"folder": Path("/tmp"), "inputs": (Path("/etc/passwd"),)}, "inputs: /etc/passwd is not allowed"),
        ({"folder": Path("/tmp"), "inputs": (Path("a/../../b"),)}, r"inputs: a/\.\./\.\./b is not allowed"),
    ],
)
def test_what_is_not_allowed_is_named(options, message):
    with pytest.raises(ArmillaryError, match=message):
        Command(**{"arguments": ("/usr/bin/tool",), **options})


def test_only_listed_variables_are_inherited(monkeypatch):
    for name in (*INHERITED, "LC_NUMERIC"):
        monkeypatch.setenv(name, "ours")
    for name in ("PYTHONPATH", "SECRET", "LCX"):
        monkeypatch.setenv(name, "stays")
    assert {**dict.fromkeys(INHERITED, "ours"), "LC_NUMERIC": "ours"}.items() <= inherited().items()
    assert "stays" not in inherited().values()


def test_the_commands_own_variables_come_first(monkeypatch):
    monkeypatch.setenv("HOME", "/ours")
    assert Command(("tool",), environment={"HOME": "/its", "MORE": "1"}).whole_environment().items() >= {
        ("HOME", "/its"), ("MORE", "1"),
    }  # fmt: skip
