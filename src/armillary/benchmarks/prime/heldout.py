"""Networks that nothing was tuned on: Table 3's protocol for classifiers, a detector, transformers and a Conformer.

The nine applications of the paper shaped our model of the Edge TPU, the hurdle and its schedule. These seven shaped
nothing. Each has a log of 4,000 legal designs, drawn as those of the nine are.
"""

from __future__ import annotations

from collections.abc import Sequence

from armillary.benchmarks.prime.scenarios import AREA_MM2, HELD_OUT, Task
from armillary.benchmarks.prime.tables import BEST_LOG, Measured, Table
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean

_LEAST_LEGAL = 0.95
TASKS = tuple(Task((name,), (name,), AREA_MM2) for name in HELD_OUT)


def run(options: BenchOptions) -> BenchResult:
    """Compare PRIME, the hurdle, a deep ensemble and the firefly; `--quick` for ResNet-50 and BERT, one seed."""
    return TABLE.run(options)


def _claim(_: Sequence[Task], measured: Sequence[Measured]) -> list[Check]:
    legal = min(found["hurdle"]["feasible_of_top"] for found in measured)
    gain = geometric_mean([found[BEST_LOG]["runtime_s"] / found["hurdle"]["runtime_s"] for found in measured])
    return [
        Check("legal share of the hurdle's 256 proposals, least", legal, "at least 0.95", legal >= _LEAST_LEGAL),
        Check("hurdle over best of log, geometric mean", gain, "more than 1", gain > 1),
    ]


TABLE = Table(
    TASKS,
    {
        "hurdle": ("hurdle", {}),
        "deep-ensemble": ("deep-ensemble", {}),
        "firefly": ("firefly", {}),
        BEST_LOG: ("log", {}),
    },
    _claim,
    note="Nothing was tuned on these networks. NaN over the optimum: not enumerated yet, see `edge-tpu-optimum`.",
    few=(TASKS[0], TASKS[2]),  # ResNet-50 and BERT
)
