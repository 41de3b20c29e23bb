"""Lay the study out as one HTML file that opens from a disk or an e-mail: no server, no network."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from armillary.atomic_file import replaced
from armillary.reports import (
    candidate_figures,
    figures,
    front_figures,
    layer_figures,
    layouts,
    proof,
    proposal_table,
    roofline,
    summary,
    tables,
    wording,
)
from armillary.reports.theme import Chart
from armillary.studies.results import StudyResults

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class PageChart:
    """A chart as the template places it; `spec` is its figure as JSON."""

    key: str
    title: str
    caption: str
    label: str
    height_px: int
    spec: str


def charts(results: StudyResults) -> dict[str, PageChart]:
    """Return every chart that the study has data for, by key."""
    drawn = [
        front_figures.front_chart(results),
        front_figures.front_progress(results),
        figures.landscape(results),
        figures.histogram(results),
        figures.reasons(results),
        figures.importances(results),
        figures.selection(results),
        candidate_figures.reliability(results),
        candidate_figures.predicted_measured(results),
        candidate_figures.log_progress(results),
        candidate_figures.candidate_progress(results),
        layer_figures.time_split(results),
        layer_figures.layer_times(results),
        layer_figures.bounds(results),
        roofline.roofline(results),
        layer_figures.area_parts(results),
        layer_figures.energy_parts(results),
    ]
    return {chart.key: _page_chart(chart) for chart in drawn if chart is not None}


def _page_chart(chart: Chart) -> PageChart:
    return PageChart(chart.key, chart.title, chart.caption, chart.label, chart.height_px, chart.figure.to_json())


def packed(text: str) -> str:
    """Return text as the page carries what is large: compressed, in letters that are safe inside a script element.

    The browser unpacks it; the same text gives the same letters.
    """
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


@cache
def _packed_plotly() -> str:
    return packed(get_plotlyjs())


def _packed_specs(drawn: Mapping[str, PageChart]) -> str:
    specs = ",".join(f"{json.dumps(key)}:{chart.spec}" for key, chart in drawn.items())
    return packed(f"{{{specs}}}")


def render(results: StudyResults) -> str:
    """Return the page as text."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = charts(results)
    return environment.get_template("page.html.j2").render(
        results=results,
        charts=drawn,
        goal=summary.goal(results),
        highlights=summary.highlights(results),
        notice=summary.notice(results),
        paragraphs=summary.paragraphs(results),
        within=wording.within(results.bounds),
        remarks=tables.remarks(results),
        evaluators=summary.evaluators(results),
        parts=summary.part_rows(results),
        proof=proof.proof_table(results),
        layouts=layouts.layouts(results),
        proposals=proposal_table.proposal_table(results),
        left_out=tables.left_out(results),
        total_time=summary.total_time(results),
        headings=tables.headings(results),
        design_rows=tables.design_rows(results),
        metric_rows=tables.metric_rows(results),
        layer_table=tables.layer_table(results),
        log_shares=tables.log_shares(results),
        stages=tables.stage_rows(results),
        not_mapped=tables.not_mapped_rows(results),
        beside=tables.beside_rows(results),
        fused=tables.fused_rows(results),
        beside_share=tables.beside_share(results),
        import_notes=tables.import_notes(results),
        trials=tables.best_trials(results),
        created=results.created.strftime("%Y-%m-%d %H:%M %Z").strip(),
        style=Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup((_TEMPLATES / "draw.js").read_text(encoding="utf-8")),
        specs=_packed_specs(drawn),
        plotly=_packed_plotly(),
    )


def write_report(results: StudyResults, path: Path) -> None:
    """Write the page to `path`, all of it or nothing.

    Raises:
        ArmillaryError: if it cannot be written; an older page then stays as it was.
    """
    text = render(results)
    with replaced(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
