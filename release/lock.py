"""`python release/lock.py`: write requirements.lock, what Armillary needs at run time with the digests of its files.

The versions are those of constraints.txt, for every Python and system that we support; the digests are those of all
files that the registry has of a version. torch is left out: which build of 2.13.0 a machine gets, and with it the
digest, is the machine's affair, and so are the CUDA packages that some builds bring. constraints.txt itself has no
digests, because pip would then refuse whatever has none, editable installs and that torch among them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK, CONSTRAINTS = ROOT / "requirements.lock", ROOT / "constraints.txt"
_HEAD = """\
# Made by `make lock` from pyproject.toml and constraints.txt. torch is missing on purpose: install it first, then
#   pip install --require-hashes --no-deps --requirement requirements.lock
"""
_OLDEST = "3.11"
_PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def pins(text: str) -> dict[str, str]:
    """Return the version of each package that a file pins, by its normalised name."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PIN.findall(text)}


def blocks(text: str) -> Iterator[str]:
    """Yield each pin of a lock file with its digests."""
    return (match[0] for match in re.finditer(r"^[\w.-]+==.*\n(?:[ \t]+--hash=.*\n)*", text, re.MULTILINE))


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.txt")
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal", "--generate-hashes",
             "--python-version", _OLDEST, "--constraint", "constraints.txt", "--no-emit-package", "torch",
             "--no-annotate", "--no-header", "--quiet", "--output-file", found],
            cwd=ROOT, check=True,
        )  # fmt: skip
        resolved = found.read_text(encoding="utf-8")
    pinned = pins(CONSTRAINTS.read_text(encoding="utf-8"))
    kept = [block for block in blocks(resolved) if set(pins(block)) <= set(pinned)]
    LOCK.write_text(_HEAD + "".join(kept), encoding="utf-8")
    print(f"{LOCK.name}: {len(kept)} packages")


if __name__ == "__main__":
    main()
