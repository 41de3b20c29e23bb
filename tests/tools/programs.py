"""Programs that tests run, and whether they are gone."""

import os
import sys
import time

from armillary.tools.command import Command


def python(script, *arguments, **options):
    """Return a command that runs a Python script."""
    return Command((sys.executable, "-c", script, *map(str, arguments)), **options)


def survivors(numbers, within_s=5.0):
    """Return which processes do not end within a time; they are killed then."""
    deadline = time.monotonic() + within_s
    while (left := [pid for pid in numbers if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, 9)
    return left


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
