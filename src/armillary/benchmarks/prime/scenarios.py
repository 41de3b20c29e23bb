"""What PRIME is asked to design in each table of the paper, with the latencies that it published.

Source: Kumar et al., ICLR 2022, Tables 3 to 21; latencies in the paper's ms, the median of five
runs. Areas of 100 mm2 are the template's limit of 98 mm2 here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from armillary.benchmarks.prime.paper import APPLICATIONS
from armillary.evaluators.edge_tpu.enumeration import Scenario
from armillary.hardware.templates.edge_tpu import MAX_AREA_MM2
from armillary.types import ArmillaryError

ALL = tuple(a.workload for a in APPLICATIONS)
EDGE, V2, V3, M4, M5, M6, UNET, DEC, ENC = ALL
_SHORT = {EDGE: "EdgeTPU", V2: "V2", V3: "V3", M4: "M4", M5: "M5", M6: "M6", UNET: "U-Net", DEC: "Dec", ENC: "Enc"}
HELD_OUT = ("resnet50", "vgg16", "bert", "mnasnet", "retinanet", "vit_b", "conformer_s")
"""Networks that no part of the project was tuned on; the paper has none of them."""
ENUMERATED = HELD_OUT[:4]
"""Those of them whose every design was evaluated; the others' optimum is not known."""
AREA_MM2 = 29.0
SMALL_AREA_MM2 = 18.0
_LARGE = MAX_AREA_MM2
_NOT_PUBLISHED = float("nan")


@dataclass(frozen=True)
class Task:
    """One row of a table.

    Attributes:
        train: applications whose data the surrogate sees.
        target: applications whose mean latency is to be least.
        area_mm2: the bound.
        published: the paper's latencies by method, medians of five runs; `log` is the best in training.
    """

    train: tuple[str, ...]
    target: tuple[str, ...]
    area_mm2: float
    published: Mapping[str, float] = field(default_factory=dict, hash=False, compare=False)

    @property
    def scenario(self) -> Scenario:
        """What is minimised."""
        return Scenario(self.target, self.area_mm2)

    @property
    def label(self) -> str:
        """What distinguishes the row."""
        trained = "" if self.train == self.target else f"{label(self.train)} -> "
        return f"{trained}{label(self.target)}, {self.area_mm2:g} mm2"


def of_applications(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    """Return the rows of a table all of whose targets are among some applications.

    Raises:
        ArmillaryError: if the table has no such application, or no row for these alone.
    """
    allowed = sorted({name for task in tasks for name in task.target})
    if unknown := [name for name in names if name not in allowed]:
        raise ArmillaryError(f"--application {unknown[0]!r} is not in this table; choose one of {allowed}")
    chosen = [task for task in tasks if set(task.target) <= set(names)]
    if not chosen:
        rows = [list(task.target) for task in tasks]
        raise ArmillaryError(f"--application {list(names)} are not all targets of any row; the rows have {rows}")
    return chosen


def label(applications: tuple[str, ...]) -> str:
    """Return the names of applications as a table has room for them: MobileNets without that word, t-RNNs too."""
    if applications == ALL:
        return "all nine"
    return applications[0] if len(applications) == 1 else " ".join(_SHORT[name] for name in applications)


def _published(methods: str, *latencies_ms: float) -> dict[str, float]:
    return dict(zip(methods.split(), latencies_ms, strict=True))


def _single(application: str, methods: str, *latencies_ms: float) -> Task:
    return Task((application,), (application,), AREA_MM2, _published(methods, *latencies_ms))


TABLE_3 = tuple(
    _single(name, "prime bayesian firefly mbo log", *latencies)
    for name, latencies in {
        EDGE: (298.50, 319.00, 320.28, 332.97, 354.13),
        V2: (207.43, 240.56, 238.58, 244.98, 410.83),
        V3: (454.30, 534.15, 501.27, 535.34, 938.41),
        M4: (370.45, 396.36, 383.58, 405.60, 779.98),
        M5: (208.21, 201.59, 198.86, 219.53, 449.38),
        M6: (131.46, 121.83, 120.49, 119.56, 369.85),
        UNET: (740.27, 872.23, 791.64, 888.16, 1333.18),
        DEC: (132.88, 771.11, 770.93, 771.70, 890.22),
        ENC: (130.67, 865.07, 865.07, 866.28, 584.70),
    }.items()
)


def _together(applications: tuple[str, ...], area_mm2: float, *latencies_ms: float) -> Task:
    return Task(applications, applications, area_mm2, _published("prime firefly mbo", *latencies_ms))


TABLE_4 = (
    _together((EDGE, V2, V3), AREA_MM2, 334.70, 325.69, 351.92),
    _together((V2, V3, M5, M6), AREA_MM2, 271.25, 288.68, 307.09),
    _together((EDGE, V2, V3, M4, M5, M6), AREA_MM2, 313.76, 316.65, 339.27),
    _together((EDGE, V2, V3, M4, M5, M6, UNET, ENC), AREA_MM2, 310.09, 404.59, 412.90),
    _together((EDGE, V2, V3, M4, M5, M6, ENC), _LARGE, 287.98, 404.59, 404.94),
    _together((EDGE, V2, V3, M4, M5, M6, DEC, ENC), AREA_MM2, 426.65, 586.55, 692.61),
    _together(ALL, _LARGE, 385.56, 519.37, 530.99),
)


def _unseen(
    train: tuple[str, ...], target: tuple[str, ...], area_mm2: float, prime_ms: float, online_ms: float = _NOT_PUBLISHED
) -> Task:
    return Task(train, target, area_mm2, {"prime": prime_ms, "firefly": online_ms})


_SEVEN = (EDGE, V2, V3, M4, M5, M6, ENC)
TABLE_5 = (
    _unseen((EDGE, V3), (V2,), AREA_MM2, 313.76, 316.65),
    _unseen((V2, V3, M5, M6), (EDGE, M4), AREA_MM2, 364.92, 357.29),
    _unseen(_SEVEN, (UNET, DEC), AREA_MM2, 745.91, 1127.64),
    _unseen(_SEVEN, (UNET, DEC), _LARGE, 517.89, 861.69),
)
TABLE_7 = (
    _single(V2, "prime coms standard", 207.43, 251.58, 374.52),
    _single(V3, "prime coms standard", 454.30, 485.66, 575.75),
    _single(M6, "prime coms standard", 131.46, 163.94, 180.24),
)
TABLE_8 = (
    _single(EDGE, "prime p3bo", 298.50, 376.02),
    _single(M4, "prime p3bo", 370.45, 483.39),
    _single(UNET, "prime p3bo", 740.27, 771.70),
    _single(DEC, "prime p3bo", 132.88, 865.12),
    _single(ENC, "prime p3bo", 130.67, 1139.48),
)
_ABLATIONS = "prime-without-opt prime-without-infeasible standard"
_REUSE = f"prime {_ABLATIONS} bayesian firefly log"
TABLE_9 = (
    Task(
        (EDGE, V2, V3),
        (EDGE, V2),
        AREA_MM2,
        _published(_REUSE, 253.85, 297.36, 264.85, 341.12, 275.21, 271.71, 834.68),
    ),
)
TABLE_10 = (
    Task(
        (EDGE,),
        (EDGE,),
        SMALL_AREA_MM2,
        _published(_REUSE, 315.15, 433.81, 351.22, 470.09, 331.05, 329.13, 354.13),
    ),
)
TABLE_13 = tuple(
    Task(task.train, task.target, task.area_mm2, {**task.published, **_published(_ABLATIONS, *latencies)})
    for task, latencies in zip(
        TABLE_3,
        (
            (435.40, 322.20, 411.12),
            (281.01, 214.71, 374.52),
            (489.45, 483.96, 575.75),
            (478.32, 432.78, 1139.76),
            (319.61, 246.80, 307.57),
            (197.70, 162.12, 180.24),
            (740.27, 765.59, 763.10),
            (172.06, 135.47, 136.20),
            (134.84, 137.28, 150.21),
        ),
        strict=True,
    )
)
TABLE_15 = (
    _unseen(_SEVEN, ALL, AREA_MM2, 427.94, 586.55),
    _unseen(_SEVEN, ALL, _LARGE, 366.64, 519.37),
)
TABLE_16 = (
    _single(EDGE, "best5 prime worst20", 273.30, 298.50, 286.53),
    _single(M6, "best5 prime worst20", 131.46, 131.46, 142.68),
    _single(ENC, "best5 prime worst20", 137.45, 130.67, 135.71),
)
TABLE_18 = (
    _single(EDGE, "prime firefly firefly4", 298.50, 320.28, 311.35),
    _single(DEC, "prime firefly firefly4", 132.88, 770.93, 770.63),
    _single(ENC, "prime firefly firefly4", 130.67, 865.07, 865.07),
)
TABLE_21 = (
    _unseen((V2, V3, M5, M6), ALL, AREA_MM2, 427.35),
    _unseen((V2, V3, M5, ENC), ALL, AREA_MM2, 464.87),
    _unseen(_SEVEN, ALL, AREA_MM2, 427.94),
)


def scenarios() -> Iterator[Scenario]:
    """Yield every scenario whose true optimum the tables are held against, each once."""
    singles = [Scenario((name,), AREA_MM2) for name in (*ALL, *ENUMERATED)]
    tasks = [task.scenario for task in (*TABLE_4, *TABLE_5, *TABLE_9, *TABLE_15, *TABLE_21)]
    yield from dict.fromkeys([*singles, Scenario((EDGE,), SMALL_AREA_MM2), *tasks])
