"""The template: stations on a ring, each with multipliers and a buffer, that pass tensors from one to the next."""

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.template import Template
from armillary.metrics import largest
from armillary.spaces.space import Parameter, Space
from armillary.types import Metric

LEAKAGE = Metric("mW", over_layers=largest)
WIRE = Metric("mm", over_layers=largest)
HOP_MM = 0.5

SPACE = Space(
    "ring",
    (
        Parameter("stations", (2, 4, 8, 12, 16, 24, 32, 48)),
        Parameter("lanes", (4, 8, 16, 32, 64, 128)),
        Parameter("buffer_bytes", tuple(2**power for power in range(12, 19)), unit="bytes"),
        Parameter("link_bytes", (4, 8, 16, 32, 64), unit="bytes"),
        Parameter("cells", ("low_leakage", "standard", "fast"), kind="categorical"),
    ),
)


def wire_mm(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the wire of the ring, which the design alone tells, shape [designs]."""
    values = SPACE.columns(codes)
    return np.asarray(HOP_MM * 8.0 * values["stations"] * values["link_bytes"])


TEMPLATE = Template(name="ring", space=SPACE, laws={"wire_mm": wire_mm}, budgets={"wire_mm": 4000.0})
