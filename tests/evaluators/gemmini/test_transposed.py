"""Operands of matrix products that lie transposed in DRAM."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.evaluators.gemmini.tensors import convolved, from_dram, into_dram, random_tensors
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.commands import END
from armillary.hardware.rtl.gemmini.compiler import (
    NO_PADDING,
    Padding,
    Placement,
    RefusedError,
    Requantization,
    compile_layer,
)
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from evaluators.gemmini.random_programs import mappings
from evaluators.gemmini.test_both_dataflows import BOTH

HOW = Requantization(3, 8)
SOME = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def products(draw, accelerator):
    """Return a random matrix product, and a mapping with either dataflow."""
    pixels = draw(st.sampled_from("NPQ"))
    groups = draw(st.sampled_from([1, 1, 2]))
    sizes = {"K": 1, "C": 1, pixels: 1}
    sizes = {d: draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 12, 13])) for d in sizes}
    sizes |= {d: groups * sizes[d] for d in "KC"}
    layer = Layer("product", "gemm", groups=groups, **sizes)
    return layer, draw(mappings(draw(st.sampled_from(accelerator.views)), layer))


@pytest.mark.parametrize("transposed", ["I", "W", "IW"])
@pytest.mark.parametrize("accelerator", BOTH, ids=lambda a: f"{a.dim}-{a.bus_bytes}")
def test_operands_that_lie_transposed_give_what_numpy_computes(accelerator, transposed):
    fast, full = (simulator(accelerator, full=kind) for kind in (False, True))
    ran = []

    @SOME
    @given(
        case=products(accelerator),
        latency=st.sampled_from([0, 60]),
        backpressure=st.sampled_from([0, 0, 1]),
        seed=st.integers(0, 1000),
    )
    def check(case, latency, backpressure, seed):
        (layer, mapping), slower = case, replace(accelerator, dram_latency=latency)
        placement = Placement(transposed=transposed)
        try:
            program = compile_layer(layer, mapping, slower, requantization=HOW, placement=placement)
        except RefusedError:
            return
        inputs, weights = random_tensors(layer, NO_PADDING, np.random.default_rng(seed))
        dram = into_dram(program, inputs, weights)
        job = Job(slower, program, dram, most_cycles=10_000_000, wants_dram=True, backpressure=backpressure)
        results = [simulate(path, job) for path in (fast, full)]
        expected = convolved(layer, inputs, weights, NO_PADDING, HOW)
        for result in results:
            np.testing.assert_array_equal(from_dram(program, result.dram, layer.K), expected)
        assert (results[0].cycles, results[0].stalls) == (results[1].cycles, results[1].stalls)
        ran.append(mapping.levels[-1].keeps)

    check()
    assert len(ran) >= 8
    assert set(ran) == {"W", "O"}


ACCELERATOR = BOTH[0].views[0]
PRODUCT = Layer("product", "gemm", K=8, C=8, P=12)
TILED = "L3[WIO] P3 - L2[WI] N1 K4X - L1[O] K2 C2 C4X - L0[W] P4"


def test_a_transposed_matrix_lies_as_numpy_writes_it():
    program = compile_layer(PRODUCT, Mapping.parse(TILED), ACCELERATOR, placement=Placement(transposed="IW"))
    inputs, weights = random_tensors(PRODUCT, NO_PADDING, np.random.default_rng(0))
    dram = into_dram(program, inputs, weights).view(np.int8)
    matrix = inputs[0, :, :, 0]  # channels, pixels
    np.testing.assert_array_equal(dram[: matrix.size].reshape(matrix.shape), matrix)
    matrix = weights[:, :, 0, 0]  # outputs, channels
    np.testing.assert_array_equal(dram[program.weights.address :][: matrix.size].reshape(matrix.shape), matrix)
    assert program.words[-1] == END


@pytest.mark.parametrize(
    ("layer", "mapping", "how", "message"),
    [
        (PRODUCT, TILED.replace("P3", "P6").replace("P4", "P2"), {}, "whole rows overflow: 4 needed, 2 there .of P in"),
        (PRODUCT, TILED, {"transposed": "IX"}, "transposed='IX' is not allowed; name I, W or both"),
        (PRODUCT, TILED, {"padding": Padding(1)}, "only operands of a matrix product may lie"),
        (
            Layer("image", "conv", K=8, C=8, P=12, Q=2), TILED.replace("P4", "P4 Q2"), {},
            "only operands of a matrix product may lie",
        ),
        (
            Layer("window", "conv", K=8, C=8, P=12, R=3), TILED.replace("C2", "C2 R3"), {},
            "only operands of a matrix product may lie",
        ),
    ],
)  # fmt: skip
def test_what_cannot_lie_transposed_is_refused(layer, mapping, how, message):
    placement = Placement(transposed=how.get("transposed", "I"))
    with pytest.raises(ArmillaryError, match=message):
        compile_layer(layer, Mapping.parse(mapping), ACCELERATOR, placement=placement, padding=how.get("padding"))
