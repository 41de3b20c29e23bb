"""What is computed: layers, the networks of the papers, and ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.layer import Workload


def load(name_or_path: str, dims: Mapping[str, int] | None = None) -> Workload:
    """Return a workload of the zoo by name, or that of an ONNX file by path.

    Raises:
        ArmillaryError: if there is neither such a name nor such a file (offers the nearest names),
            if a name of the zoo comes with dimensions, or if the file cannot be imported.
    """
    if name_or_path in zoo.names():
        if dims:
            raise ArmillaryError(f"workload {name_or_path!r} has no open dimension, got {dict(dims)}")
        return zoo.build(name_or_path)
    if not name_or_path.strip():
        raise ArmillaryError("the workload's name is empty; give one of `armillary workloads`, or an ONNX file")
    path = Path(name_or_path)
    if path.exists():
        from armillary.workloads.onnx.importer import import_onnx

        return import_onnx(path, dims)
    if path.suffix or len(path.parts) > 1:
        raise ArmillaryError(f"{name_or_path}: no such file; {_nearest_files(path)}")
    raise ArmillaryError(f"{name_or_path!r} is neither a workload of the zoo nor a file; {zoo.nearest(name_or_path)}")


def _nearest_files(path: Path) -> str:
    import difflib

    there = sorted(file.name for file in path.parent.glob("*.onnx"))
    near = difflib.get_close_matches(path.name, there, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(str(path.parent / name) for name in near)}?"
    return zoo.nearest(path.stem)
