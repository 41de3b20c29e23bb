"""What PRIME is asked to design in the paper's multi-application and zero-shot experiments, with its figures.

Source: Kumar et al., ICLR 2022, Tables 4, 5, 9, 10 and 21; latencies in the paper's ms, the median of five
runs. Areas of 100 mm2 are the template's limit of 98 mm2 here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from armillary.benchmarks.prime_paper import APPLICATIONS
from armillary.evaluators.edge_tpu.enumeration import Scenario
from armillary.hardware.templates.edge_tpu import MAX_AREA_MM2

ALL = tuple(a.workload for a in APPLICATIONS)
EDGE, V2, V3, M4, M5, M6, UNET, DEC, ENC = ALL
_SHORT = {EDGE: "EdgeTPU", V2: "V2", V3: "V3", M4: "M4", M5: "M5", M6: "M6", UNET: "U-Net", DEC: "Dec", ENC: "Enc"}
AREA_MM2 = 29.0
SMALL_AREA_MM2 = 18.0
_LARGE = MAX_AREA_MM2


@dataclass(frozen=True)
class Task:
    """One row of a table.

    Attributes:
        train: applications whose data the surrogate sees.
        target: applications whose mean latency is to be least.
        area_mm2: the bound.
        prime_ms: the paper's PRIME, median of five runs.
        online_ms: the paper's best online method, likewise.
    """

    train: tuple[str, ...]
    target: tuple[str, ...]
    area_mm2: float
    prime_ms: float
    online_ms: float

    @property
    def scenario(self) -> Scenario:
        """What is minimised."""
        return Scenario(self.target, self.area_mm2)


def label(applications: tuple[str, ...]) -> str:
    """Return the names of applications as a table has room for them: MobileNets without that word, t-RNNs too."""
    return applications[0] if len(applications) == 1 else " ".join(_SHORT[name] for name in applications)


def _together(applications: tuple[str, ...], area_mm2: float, prime_ms: float, online_ms: float) -> Task:
    return Task(applications, applications, area_mm2, prime_ms, online_ms)


TABLE_4 = (
    _together((EDGE, V2, V3), AREA_MM2, 334.70, 325.69),
    _together((V2, V3, M5, M6), AREA_MM2, 271.25, 288.68),
    _together((EDGE, V2, V3, M4, M5, M6), AREA_MM2, 313.76, 316.65),
    _together((EDGE, V2, V3, M4, M5, M6, UNET, ENC), AREA_MM2, 310.09, 404.59),
    _together((EDGE, V2, V3, M4, M5, M6, ENC), _LARGE, 287.98, 404.59),
    _together((EDGE, V2, V3, M4, M5, M6, DEC, ENC), AREA_MM2, 426.65, 586.55),
    _together(ALL, _LARGE, 385.56, 519.37),
)
_SEVEN = (EDGE, V2, V3, M4, M5, M6, ENC)
TABLE_5 = (
    Task((EDGE, V3), (V2,), AREA_MM2, 313.76, 316.65),
    Task((V2, V3, M5, M6), (EDGE, M4), AREA_MM2, 364.92, 357.29),
    Task(_SEVEN, (UNET, DEC), AREA_MM2, 745.91, 1127.64),
    Task(_SEVEN, (UNET, DEC), _LARGE, 517.89, 861.69),
)
TABLE_9 = Task((EDGE, V2, V3), (EDGE, V2), AREA_MM2, 253.85, 271.71)
TABLE_21 = (
    Task((V2, V3, M5, M6), ALL, AREA_MM2, 427.35, float("nan")),
    Task((V2, V3, M5, ENC), ALL, AREA_MM2, 464.87, float("nan")),
    Task(_SEVEN, ALL, AREA_MM2, 427.94, float("nan")),
)


def scenarios() -> Iterator[Scenario]:
    """Yield every scenario whose true optimum the tables are held against, each once."""
    singles = [Scenario((name,), AREA_MM2) for name in ALL]
    tasks = [task.scenario for task in (*TABLE_4, *TABLE_5, TABLE_9, *TABLE_21)]
    yield from dict.fromkeys([*singles, Scenario((EDGE,), SMALL_AREA_MM2), *tasks])
