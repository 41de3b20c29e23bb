"""`python release/distribute.py OUT`: build what is released, and try it in an environment that has nothing else.

OUT gets the sdist, the wheel that was built from it, a bill of materials (CycloneDX) and the list of licences of all
that the wheel was installed with. It ends with an error if one of these has a licence that is not allowed, or the
installed package does not work.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "torch==2.13.0"
ALLOWED = (
    "Apache", "BSD", "ISC", "MIT", "Mozilla", "MPL", "PSF", "Python Software Foundation", "Zlib", "Unlicense",
    "Lesser General Public License",
)  # fmt: skip
"""What a licence's name has to hold. The GPL would bind those who import a package; the LGPL does not."""
JUDGED: dict[str, str] = {}
"""Packages that state no licence by which to know it, and the licence that their files hold."""
_SMOKE = """
import importlib.resources as r, armillary
from armillary.log.store import Log
from armillary.workloads import zoo
assert r.files(armillary).joinpath("py.typed").is_file(), "py.typed is missing"
assert len(Log("shipped://axiline_svm")) > 0
print(len(zoo.build("mobilenet_v2").layers), "layers")
"""


def main(out: Path) -> None:
    """Build, install, try and describe."""
    out.mkdir(parents=True, exist_ok=True)
    _run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (wheel,) = out.glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        python = _installed(wheel, Path(folder) / "fresh")
        _try(python, Path(folder))
        _run(sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", ROOT / "pyproject.toml",
             "--output-reproducible", "--output-file", out / f"{wheel.stem}.cdx.json", python)  # fmt: skip
        _check_licences(python, out / "licences.json")
    print(f"{', '.join(sorted(path.name for path in out.iterdir()))}")


def _installed(wheel: Path, environment: Path) -> Path:
    """Return the interpreter of a new environment with the wheel and what requirements.lock says, digests checked."""
    _run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(*pip, "--constraint", ROOT / "constraints.txt", TORCH)
    _run(*pip, "--require-hashes", "--no-deps", "--requirement", ROOT / "requirements.lock")
    _run(*pip, "--no-deps", wheel)
    _run(python, "-m", "pip", "--disable-pip-version-check", "check")
    return python


def _try(python: Path, folder: Path) -> None:
    """Use the installed package from a folder that has none of our sources."""
    armillary = python.with_name("armillary")
    _run(python, "-c", _SMOKE, at=folder)
    for asked in (
        "--version",
        "templates",
        "collect --workload mobilenet_v2 --samples 200 --log log",
        "log check --log log",
    ):
        _run(armillary, *asked.split(), at=folder)


def _check_licences(python: Path, listed: Path) -> None:
    """List the licences, and refuse what is not allowed."""
    _run(sys.executable, "-m", "piplicenses", "--python", python, "--from", "mixed", "--with-urls", "--format", "json",
         "--output-file", listed)  # fmt: skip
    refused = {
        package["Name"]: package["License"]
        for package in json.loads(listed.read_text(encoding="utf-8"))
        if not any(name in JUDGED.get(package["Name"], package["License"]) for name in ALLOWED)
    }
    if refused:
        raise SystemExit(f"licences that are not allowed: {refused}; allowed are {ALLOWED}")


def _run(*arguments: object, at: Path = ROOT) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True, cwd=at)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).resolve())
