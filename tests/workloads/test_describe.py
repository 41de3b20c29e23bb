from __future__ import annotations

import json

import pytest

from armillary.workloads import zoo
from armillary.workloads.context import context_of
from armillary.workloads.describe import as_json


@pytest.mark.parametrize("name", ["mobilenet_v2", "t_rnn_dec", "retinanet"])
def test_json_holds_the_totals_and_they_add_up(name: str) -> None:
    workload = zoo.build(name)
    document = json.loads(json.dumps(as_json(workload)))
    assert {"name", "macs", "parameters", "layers", "context", "not_mapped"} <= set(document)
    assert document["name"] == name
    assert document["macs"] == sum(layer["macs"] for layer in document["layers"]) == workload.macs
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"]) == workload.parameters
    assert document["context"] == context_of(workload).as_dict()
    assert [row["count"] for row in document["not_mapped"]] == [row.count for row in workload.not_mapped]


def test_json_layers_show_their_dimensions() -> None:
    first = as_json(zoo.build("resnet18"))["layers"][0]
    assert [first[d] for d in ("N", "K", "C", "P", "Q", "R", "S", "stride_h", "groups")] == [
        1,
        64,
        3,
        112,
        112,
        7,
        7,
        2,
        1,
    ]
    assert first["kind"] == "conv"
