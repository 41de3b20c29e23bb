"""The designs of Table 6.1."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import TEMPLATE as OTHER
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE, VARIED, accelerator_of, published_designs
from armillary.types import ArmillaryError


def test_the_published_designs_are_those_of_the_table():
    codes = published_designs()
    columns = SPACE.columns(codes)
    assert len(codes) == len(np.unique(codes, axis=0)) == 4096
    assert [len(np.unique(columns[name])) for name in VARIED] == [4, 32, 32]
    assert {(int(d), int(b)) for d, b in zip(columns["dim"], columns["bus_bytes"], strict=True)} == {
        (4, 4), (8, 8), (16, 16), (32, 16)
    }  # fmt: skip
    for name, value in TEMPLATE.defaults.items():
        if name not in (*VARIED, "bus_bytes"):
            assert set(columns[name].tolist()) == {value}
    for design in SPACE.designs(codes[::97]):
        accelerator_of(design)


def test_a_part_of_the_space_has_its_part_of_them():
    some = tuple(replace(p, values=(16, 32)) if p.name == "dim" else p for p in SPACE.parameters)
    part = replace(SPACE, parameters=some)
    assert set(part.columns(published_designs(part))["dim"].tolist()) == {16, 32}
    assert len(published_designs(part)) == 2048


def test_another_space_is_refused():
    with pytest.raises(ArmillaryError, match=r"Table 6\.1"):
        published_designs(OTHER.space)
