"""How a network is run: phases and widths of tensors in its layers, its name and its request."""

from __future__ import annotations

import json

import pytest

from armillary.hardware.bits import Bits
from armillary.studies.running import Running, tensor_bits
from armillary.types import ArmillaryError
from armillary.workloads import load
from armillary.workloads.describe import as_json
from armillary.workloads.phases import Phase

DECODE = Phase("decode", 1, 256, 8)


def test_widths_are_of_the_operands_that_they_name() -> None:
    network = Running(phase=DECODE, bits={"weights": 4, "kv": 8, "activations": 16}).load("llama3_8b_block")
    for use in network.layers:
        assert use.layer.bits == Bits(W=8 if use.layer.dynamic else 4, I=16, O=16)
    assert {use.layer.dynamic for use in network.layers} == {True, False}


def test_a_width_that_nobody_gives_is_left_to_the_hardware() -> None:
    network = Running(phase=DECODE, bits={"kv": 8}).load("llama3_8b_block")
    assert {use.layer.bits for use in network.layers} == {None, Bits(W=8)}


def test_networks_that_run_otherwise_have_other_names_and_contents() -> None:
    ways = [Running(), Running(phase=DECODE), Running(phase=DECODE, bits={"weights": 4}), Running(bits={"weights": 4})]
    networks = [way.load("llama3_8b_block") for way in ways]
    assert networks[0] == load("llama3_8b_block")
    assert len({network.name for network in networks}) == len(ways)
    assert len({json.dumps(as_json(network)) for network in networks}) == len(ways)


@pytest.mark.parametrize(
    "running",
    [Running(), Running({"batch": 3}), Running(phase=DECODE), Running(phase=DECODE, bits={"weights": 4, "kv": 8})],
)
def test_a_request_holds_it(running: Running) -> None:
    assert Running.from_dict(json.loads(json.dumps(running.as_dict()))) == running


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["keys=4"], r"--bits 'keys=4' is not allowed; write TENSOR=BITS with a tensor of \['weights', 'kv', 'act"),
        (["weights=0"], "1 to 32 bits"),
        (["weights=fp8"], "--bits 'weights=fp8' is not allowed"),
        (["kv=8", "kv=4"], "--bits 'kv=4': kv has 8 bits already"),
    ],
)
def test_a_width_that_is_none_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ArmillaryError, match=message):
        tensor_bits(texts)


def test_widths_come_in_one_order() -> None:
    assert list(tensor_bits(["kv=8", "weights=4"]).items()) == [("weights", 4), ("kv", 8)]
