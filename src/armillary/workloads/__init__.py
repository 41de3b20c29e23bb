"""What is computed: layers, the networks of the papers, and ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.layer import Workload


def load(
    name_or_path: str, dims: Mapping[str, int] | None = None, operators: Mapping[str, str] | None = None
) -> Workload:
    """Return a workload of the zoo by name, or that of an ONNX file by path.

    Args:
        name_or_path: a name of the zoo, or a file.
        dims: values of open dimensions: of a language model of the zoo, or of a file.
        operators: what operators of others are in a file; a file `MODEL.operators.yaml` beside it says so, too.

    Raises:
        ArmillaryError: if there is neither such a name nor such a file (offers the nearest names),
            if a network of the zoo has no such dimension, or if the file cannot be imported.
    """
    if name_or_path in zoo.names():
        return zoo.build(name_or_path, dims)
    if not name_or_path.strip():
        raise ArmillaryError("the workload's name is empty; give one of `armillary workloads`, or an ONNX file")
    path = Path(name_or_path)
    if path.exists():
        from armillary.workloads.onnx.importer import import_onnx
        from armillary.workloads.operators_file import beside

        return import_onnx(path, dims, {**beside(path), **(operators or {})})
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
