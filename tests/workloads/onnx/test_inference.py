"""Shapes and values beside those of ONNX's own node tests."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import onnx
import pytest

from armillary.workloads.onnx.facts import Call, ClashError, Fact
from armillary.workloads.onnx.inference.finding import rule_of
from armillary.workloads.onnx.walk import Walk

# ONNX's own inference does not know that the spectrum of real numbers has half of the bins.
WRONG_BY_ONNX = {"test_stft", "test_stft_with_window"}
# Sizes that depend on the data, text, and windows whose length is a value of another type.
OPEN = {
    "BlackmanWindow", "Compress", "HammingWindow", "HannWindow", "ImageDecoder", "MaxUnpool", "MelWeightMatrix",
    "NonMaxSuppression", "StringNormalizer", "StringSplit", "Unique",
}  # fmt: skip


def partial(node: onnx.NodeProto, *shapes: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
    rule = rule_of(node, {})
    assert rule is not None
    return rule(Call(node, [Fact(1, shape) for shape in shapes], 21))[0].shape


@pytest.mark.parametrize(
    ("op_type", "options", "shapes", "expected"),
    [
        ("Add", {}, [(None, 4), (3, 1)], (3, 4)),
        ("Add", {}, [(None, 4), (1, 4)], (None, 4)),
        ("Concat", {"axis": 0}, [(None, 4), (3, None)], (None, 4)),
        ("Concat", {"axis": 1}, [(None, 4), (3, 5)], (3, 9)),
        ("MatMul", {}, [(None, 3, 4), (5, 4, 6)], (5, 3, 6)),
        ("Conv", {}, [(None, 3, None, 8), (4, 3, 3, 3)], (None, 4, None, 6)),
        ("Transpose", {"perm": [1, 0]}, [(None, 4)], (4, None)),
        ("Flatten", {}, [(None, 3, 4)], (None, 12)),
        ("Gather", {}, [(8, 4), (None,)], (None, 4)),
        ("Einsum", {"equation": "ij,jk->ik"}, [(None, 3), (3, 5)], (None, 5)),
        ("GlobalAveragePool", {}, [(None, 8, None, None)], (None, 8, 1, 1)),
        ("Relu", {}, [None], None),
    ],
)
def test_what_is_known_of_a_shape_goes_on(
    op_type: str, options: dict[str, object], shapes: list[tuple[int | None, ...] | None], expected: object
) -> None:
    node = onnx.helper.make_node(op_type, [f"x{i}" for i in range(len(shapes))], ["y"], **options)
    assert partial(node, *shapes) == expected


def test_a_clash_names_the_inputs_and_axes() -> None:
    node = onnx.helper.make_node("Concat", ["a", "b", "c"], ["y"], axis=1)
    with pytest.raises(ClashError) as fault:
        partial(node, (2, 3, 4), (2, 5, 4), (2, 7, 6))
    assert (fault.value.first, fault.value.second, fault.value.axes, fault.value.sizes) == (0, 2, (2, 2), (4, 6))


@pytest.mark.slow
def test_onnx_node_tests_have_their_shapes_and_values() -> None:
    """Inputs are taken as constants, so that every output that is small is computed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    open_: Counter[str] = Counter()
    right = 0
    for case in cases:
        inputs, outputs = case.data_sets[0]
        arrays = all(isinstance(x, np.ndarray) or np.isscalar(x) for x in (*inputs, *outputs))
        if case.model.functions or not arrays or len(inputs) != len(case.model.graph.input):
            continue
        model = onnx.ModelProto.FromString(case.model.SerializeToString())
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        for value, array in zip(model.graph.input, inputs, strict=True):
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), value.name))
        walk = Walk(model, case.name)
        walk.run()
        for value, array in zip(model.graph.output, outputs, strict=True):
            fact = walk.fact(value.name)
            if fact.fixed is None:
                open_[model.graph.node[-1].op_type] += 1
            elif case.name not in WRONG_BY_ONNX:
                assert (case.name, fact.fixed) == (case.name, np.shape(array))
                right += 1
            if fact.whole is not None and np.asarray(array).dtype.kind in "biuf":
                np.testing.assert_allclose(
                    fact.whole.astype(float), np.asarray(array).astype(float), rtol=1e-3, atol=1e-3, err_msg=case.name
                )
    assert set(open_) <= OPEN
    assert right > 1500
