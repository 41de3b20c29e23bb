"""Timeloop problems: convolutions and matrix products, known by how their tensors are indexed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import loop_bounds
from armillary.hardware.timeloop.document import Document, Version, dump
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_CNN = {
    "dimensions": list("CKRSNPQ"),
    "coefficients": [
        {"name": name, "default": 1} for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")
    ],
    "data-spaces": [
        {"name": "Weights", "projection": [[["C"]], [["K"]], [["R"]], [["S"]]]},
        {
            "name": "Inputs",
            "projection": [
                [["N"]], [["C"]], [["R", "Wdilation"], ["P", "Wstride"]], [["S", "Hdilation"], ["Q", "Hstride"]],
            ],
        },
        {"name": "Outputs", "projection": [[["N"]], [["K"]], [["Q"]], [["P"]]], "read-write": True},
    ],
}  # fmt: skip
_TENSORS = {"Weights": "W", "Inputs": "I", "Outputs": "O"}
_DENSE = {"densities", "commonDensities"}


@dataclass(frozen=True)
class Problem:
    """A layer, and what Timeloop's file calls its dimensions.

    `names` maps the file's dimension names to ours; `tensors` its data-space names to W, I and O.
    """

    layer: Layer
    names: Mapping[str, str]
    tensors: Mapping[str, str]


def load_problem(path: Path) -> Problem:
    """Read `problem` of a file: shape `cnn-layer`, or any shape that is a convolution or a matrix product.

    In Timeloop's own shape P goes with Wstride and Wdilation: those become our stride_h and dilation_h.

    Raises:
        ArmillaryError: names file, place and value of everything that is wrong or not modelled.
    """
    document = Document(path, "problem")
    content = document.known("problem", document.content, ("version", "shape", "instance"))
    shape = content.get("shape", "cnn-layer")
    if shape in ("cnn-layer", "cnn_layer"):
        shape = _CNN
    roles = _Roles(document, shape)
    instance = content.get("instance")
    if not isinstance(instance, Mapping):
        document.fault("problem.instance", "is missing; it gives every dimension its size")
        instance = {}
    layer = roles.layer(path.stem, instance)
    document.finish()
    assert layer is not None
    return Problem(layer, roles.names, roles.tensors)


class _Roles:
    """Which of our dimensions each of the file's plays, found from the tensors that it indexes."""

    def __init__(self, document: Document, shape: Any) -> None:
        self.document = document
        place = "problem.shape"
        table = document.known(place, shape, ("name", "dimensions", "coefficients", "data-spaces", "data_spaces"))
        self.dimensions = [str(d) for d in document.listed(f"{place}.dimensions", table.get("dimensions"))]
        coefficients = document.listed(f"{place}.coefficients", table.get("coefficients"))
        self.defaults = {str(c.get("name")): c.get("default", 1) for c in coefficients if isinstance(c, Mapping)}
        self.tensors: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.strides: dict[str, str] = {}
        spaces = table.get("data-spaces", table.get("data_spaces", []))
        ranks = self._ranks(spaces)
        if len(ranks) == 3:
            self._find(ranks)

    def _ranks(self, spaces: Any) -> dict[str, list[Any]]:
        """Return the projection of each tensor; the one that is read and written is the outputs."""
        found: dict[str, list[Any]] = {}
        for i, space in enumerate(spaces if isinstance(spaces, list) else []):
            place = f"problem.shape.data-spaces[{i}]"
            table = self.document.known(place, space, ("name", "projection", "read-write", "read_write"))
            name = str(table.get("name"))
            written = table.get("read-write", table.get("read_write", False))
            unnamed = [t for t in "WI" if t not in found]
            named = _TENSORS.get(name, unnamed[0] if unnamed else "")
            tensor = "O" if written else named.replace("O", "")
            if not tensor or tensor in found or not isinstance(table.get("projection"), list):
                self.document.fault(place, f"{name!r} is not modelled; a layer has weights, inputs and written outputs")
                continue
            self.tensors[name] = tensor
            found[tensor] = table["projection"]
        if len(found) != 3 and not self.document.faults:
            self.document.fault("problem.shape.data-spaces", "needs two read tensors and one with read-write: True")
        return found

    def _find(self, ranks: dict[str, list[Any]]) -> None:
        plain: dict[str, set[str]] = {"W": set(), "I": set(), "O": set()}
        sliding: list[tuple[tuple[str, str], tuple[str, str]]] = []
        for tensor, projection in ranks.items():
            for rank in projection:
                place = f"problem.shape: projection of {tensor}"
                terms = [tuple(map(str, self.document.listed(place, t))) for t in self.document.listed(place, rank)]
                if len(terms) == 1 and len(terms[0]) == 1:
                    plain[tensor].add(terms[0][0])
                elif tensor == "I" and len(terms) == 2 and all(len(t) in (1, 2) for t in terms):
                    first, second = ((t[0], t[1] if len(t) == 2 else "") for t in terms)
                    sliding.append((first, second))
                else:
                    self.document.fault("problem.shape", f"rank {rank!r} is not modelled")
        for (out, tap), pair in zip((("P", "R"), ("Q", "S")), self._windows(plain, sliding), strict=False):
            for ours, (name, coefficient) in zip((out, tap), pair, strict=True):
                self.names[name] = ours
                self.strides[ours] = coefficient
        if len(sliding) > 2:
            self.document.fault("problem.shape", f"{len(sliding)} sliding ranks are not modelled; at most two are")
        for name in self.dimensions:
            if name not in self.names:
                self._plain(name, plain)

    def _windows(
        self, plain: dict[str, set[str]], sliding: list[tuple[tuple[str, str], tuple[str, str]]]
    ) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Return the sliding ranks with the output's dimension first, those named P and R first."""
        pairs = [(b, a) if b[0] in plain["O"] else (a, b) for a, b in sliding]
        return sorted(pairs, key=lambda pair: pair[0][0] == "Q")

    def _plain(self, name: str, plain: dict[str, set[str]]) -> None:
        member = "".join(t for t in "WIO" if name in plain[t])
        roles = {"WIO": "G", "WO": "K", "WI": "C", "IO": "NPQ"}.get(member, "")
        free = [d for d in roles if d not in self.names.values()]
        if name in free:
            self.names[name] = name
        elif member == "IO" and "P" in free and not self.strides:
            self.names[name] = "P" if name != "N" or "N" not in free else "N"
        elif free:
            self.names[name] = free[0]
        else:
            self.document.fault(
                "problem.shape.dimensions",
                f"{name!r}, which indexes {list(member)}, is not modelled as this layer has it",
            )

    def layer(self, name: str, instance: Mapping[str, Any]) -> Layer | None:
        """Return the layer of these sizes."""
        sizes = dict.fromkeys(DIMENSIONS, 1)
        for key in self.dimensions:
            if key in self.names:
                if key not in instance:
                    self.document.fault(f"problem.instance.{key}", "is missing")
                else:
                    sizes[self.names[key]] = self.document.count(f"problem.instance.{key}", instance[key])
        for key, value in instance.items():
            if key in _DENSE:
                self._dense(key, value)
            elif key not in self.dimensions and key not in self.defaults:
                self.document.fault(f"problem.instance.{key}", f"{value!r} is not modelled")
        steps = {ours: self._step(coefficient, instance) for ours, coefficient in self.strides.items()}
        if self.document.faults:
            return None
        groups = sizes["G"]
        plain = sizes["P"] * sizes["Q"] * sizes["R"] * sizes["S"]
        return Layer(
            name,
            "gemm" if plain == sizes["P"] else "conv",
            N=sizes["N"], K=sizes["K"] * groups, C=sizes["C"] * groups, P=sizes["P"], Q=sizes["Q"], R=sizes["R"],
            S=sizes["S"], groups=groups, stride_h=steps.get("P", 1), stride_w=steps.get("Q", 1),
            dilation_h=steps.get("R", 1), dilation_w=steps.get("S", 1),
        )  # fmt: skip

    def _step(self, coefficient: str, instance: Mapping[str, Any]) -> int:
        if not coefficient:
            return 1
        value = instance.get(coefficient, self.defaults.get(coefficient, 1))
        return self.document.count(f"problem.instance.{coefficient}", value)

    def _dense(self, key: str, value: Any) -> None:
        table = value if isinstance(value, Mapping) else {}
        for tensor, density in table.items():
            if density != 1 and density != 1.0:
                self.document.fault(
                    f"problem.instance.{key}.{tensor}", f"{density!r} is not modelled; tensors are dense"
                )


def problem_yaml(layer: Layer, version: Version = "0.4") -> str:
    """Return the problem file of a layer.

    Raises:
        ArmillaryError: if the layer is grouped, which Timeloop's own shape does not know.
    """
    if layer.groups > 1:
        raise ArmillaryError(f"layer {layer.name}: groups={layer.groups}; Timeloop's cnn-layer shape has none")
    spaces = "data-spaces" if version == "0.3" else "data_spaces"
    written = "read-write" if version == "0.3" else "read_write"
    shape: dict[str, Any] = {
        "name": "cnn_layer",
        "dimensions": _CNN["dimensions"],
        "coefficients": _CNN["coefficients"],
        spaces: [{k.replace("read-write", written): v for k, v in space.items()} for space in _CNN["data-spaces"]],  # type: ignore[attr-defined]
    }
    sizes = {d: n for d, n in loop_bounds(layer).items() if d != "G"}
    steps = {
        "Wstride": layer.stride_h, "Hstride": layer.stride_w,
        "Wdilation": layer.dilation_h, "Hdilation": layer.dilation_w,
    }  # fmt: skip
    content: dict[str, Any] = {"shape": shape, "instance": {**sizes, **steps}}
    return dump({"problem": {"version": float(version), **content} if version == "0.4" else content})
