"""What a comparison keeps between two runs of a study."""

import json
from dataclasses import fields

from armillary.evaluators.explanation import BesideCost, ChipRates, Explanation, FusedCost, LayerCost
from armillary.spaces.space import Parameter, Space
from armillary.studies.comparing import _as_dict, _from_dict
from armillary.studies.results import Contender

SPACE = Space("chip", (Parameter("rows", (1, 2, 4)),))


def test_a_contender_is_kept_whole():
    explanation = Explanation(
        layers=(LayerCost("a", "gemm", 2, 8.0, 5.0, 4.0, 5.0, 3.0, 6.0, 0.8, "dram", "L1 K2 - L0"),),
        rates=ChipRates(1e9, 1e12, 1e10),
        area_parts_mm2={"array": 2.0},
        energy_parts_pj={"array": 3.0},
        overhead_s={"start": 1e-6},
        fixed=("start",),
        remarks={"energy_pj": "without leakage"},
        beside=(BesideCost("softmax", 1, 9.0, None, 4.0),),
        fused=(FusedCost("scores", "mixed", 3, "P4", 7.0, 6.0, 5.0),),
    )
    assert all(getattr(explanation, field.name) for field in fields(Explanation))  # one of every kind
    one = Contender("Winner", SPACE.design_from({"rows": 2}, "test"), {"runtime_s": 1.0}, explanation, note="proposed")
    assert _from_dict(json.loads(json.dumps(_as_dict(one))), SPACE) == one
