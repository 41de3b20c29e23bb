from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from armillary.workloads.layer import Workload
from armillary.workloads.onnx.importer import import_onnx


@pytest.fixture(scope="session")
def shared_onnx(shared_data: Path) -> Path:
    return shared_data / "onnx"


def make_model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[int | str | None] | None],
    constants: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    opset: int = 21,
    **more: Any,
) -> onnx.ModelProto:
    """A model of float inputs; constants are arrays, or tensors as they are."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (outputs or [nodes[-1].output[0]])],
        [
            value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
            for name, value in (constants or {}).items()
        ],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ours", 1)]
    return helper.make_model(graph, opset_imports=imports, **more)


@pytest.fixture(scope="session")
def model() -> Callable[..., onnx.ModelProto]:
    return make_model


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workload]:
    """Write a model to a file and import it."""
    folder = tmp_path_factory.mktemp("onnx")
    numbers = itertools.count()

    def run(*args: Any, dims: Mapping[str, int] | None = None, **kwargs: Any) -> Workload:
        made = args[0] if isinstance(args[0], onnx.ModelProto) else make_model(*args, **kwargs)
        path = folder / f"model_{next(numbers)}.onnx"
        onnx.save(made, str(path))
        return import_onnx(path, dims)

    return run


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)
