"""Layer runs that the Starlight benches' tests share; the truth is the physics timing's, half as much again."""

from functools import cache

import numpy as np

from armillary.benchmarks.starlight.collection import Rows
from armillary.studies.layers import prior_of
from armillary.testing.layer_surrogates import example


@cache
def rows(samples=160):
    data, physics = example(samples)
    runs = np.flatnonzero(data.feasible)
    data = data.select(runs)
    roofline = prior_of("gemmini", data.mapped, options={"timing": "roofline"})
    knobs = np.where(np.arange(len(data)) % 8 == 0, "burst 4", "")
    return Rows(data, physics.select(runs), roofline, knobs)
