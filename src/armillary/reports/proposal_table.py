"""The designs that a study proposes to evaluate, as a table of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from armillary.reports.units import study_scale
from armillary.reports.wording import listed, number, percent, title, value_text
from armillary.studies.results import StudyResults

_SHOWN = 64
_PREDICTED = "predicted_"


@dataclass(frozen=True)
class ProposalTable:
    """The proposals, the best first.

    Attributes:
        heads: of the columns.
        rows: texts, in the order of the heads.
        note: what is to be done with them, and what they are.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def proposal_table(results: StudyResults) -> ProposalTable | None:
    """Return the table; None where the study proposes nothing."""
    if results.proposals is None or not results.proposals.rows:
        return None
    rows = results.proposals.rows
    shown = [tuple(_cell(results, name, value) for name, value in row.items()) for row in rows[:_SHOWN]]
    return ProposalTable(tuple(_head(results, name) for name in rows[0]), tuple(shown), _note(results))


def _head(results: StudyResults, name: str) -> str:
    if name.startswith(_PREDICTED):
        return f"{title(name.removeprefix(_PREDICTED))}, predicted"
    known = {
        "p_feasible": "Chance to be feasible and within bounds",
        "rarest_pair": "Logged rows with its rarest pair of values",
        "rarest_triple": "Logged rows with its rarest triple",
    }
    return known.get(name, name if name in results.space.names else title(name))


def _cell(results: StudyResults, name: str, value: Any) -> str:
    parameters = {parameter.name: parameter for parameter in results.space.parameters}
    if name in parameters:
        return value_text(parameters[name], value)
    if name == "p_feasible":
        return percent(value)
    if name.startswith(_PREDICTED):
        return study_scale(results, name.removeprefix(_PREDICTED)).text(value)
    return number(float(value)) if isinstance(value, float) else str(value)


def _note(results: StudyResults) -> str:
    count, shown = len(results.proposals.rows) if results.proposals else 0, _SHOWN
    verified = results.candidates is not None
    first = f"The first {shown} of {count} designs" if count > shown else f"{count} designs"
    what = "that the surrogate proposed and the evaluator then measured" if verified else "to evaluate next"
    notes = [f"{first} {what}, the best first; proposals.csv holds all of them.", *map(_sentence, results.warnings)]
    if results.remarks:
        notes.append(f"The surrogate: {'; '.join(results.remarks)}.")
    elif results.facts:
        notes.append(f"The surrogate: {listed([f'{name} {_fact(value)}' for name, value in results.facts.items()])}.")
    return " ".join(notes)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _fact(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
