"""Spotlight's surrogate on designs of the `gemmini` template."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from armillary.surrogates.starlight.spotlight import FEATURES, features_of, predicted
from armillary.types import ArmillaryError
from surrogates.starlight.samples import UNSEEN, rows

DESIGN = {"dim": 16, "accumulator_kib": 64, "scratchpad_kib": 256, "bus_bytes": 8}
MAPPING = "L3[WIO] Q7 K8 R3 - L2[WI] C2 S3 K16X - L1[O] P5 C4 C12X - L0[W] Q14 P11"


def test_a_golden_row():
    found = dict(zip(FEATURES.names, features_of(DESIGN, [MAPPING])[0].tolist(), strict=True))
    assert found == pytest.approx(
        {
            "simd_lanes": 1,
            "bandwidth": 8,
            "pes": 256,
            "array_width": 16,
            "on_chip_sram": 320,
            "kernel_parallelism": 3,  # R and S in DRAM
            "spatial_unrolling": 12 * 16,
            "pe_utilization": 0.75,
            "loop_iterations": 6,  # 12 rows of C turn 4 * 2 times: 96 / 16
            "dram_transfers": 7 / 14 * 1 / 11 * 32,
            "unrolled_dimensions": 2 * 7 + 3 * 1 + 5 * 8 + 7 * 1 + 11 * 1,
        }
    )


@pytest.mark.parametrize("kernel", ["linear", "matern"])
def test_it_learns_from_features(kernel):
    sampled = rows()
    features, learned = features_of(sampled.columns, sampled.batch), slice(0, 100)
    found = predicted(kernel, features[learned], sampled.low[learned], features[UNSEEN])
    assert spearmanr(found, sampled.low[UNSEEN]).statistic > 0.3


def test_what_it_is_not_told_is_named():
    with pytest.raises(ArmillaryError, match="column 'bus_bytes' of the accelerators is missing"):
        features_of({name: value for name, value in DESIGN.items() if name != "bus_bytes"}, [MAPPING])
    with pytest.raises(ArmillaryError, match="kernel 'cubic' is unknown"):
        predicted("cubic", np.ones((2, 11)), np.ones(2), np.ones((2, 11)))
