"""The study in plain words and in a few large numbers, written from the results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armillary.reports.candidate_figures import rank_agreement
from armillary.reports.figures import rows_are
from armillary.reports.layer_figures import time_by_bound
from armillary.reports.units import look_of, text_of
from armillary.reports.wording import (
    comparison,
    count_text,
    duration,
    listed,
    percent,
    reason,
    shortened,
    signed,
    within,
)
from armillary.studies.fronts import Front
from armillary.studies.results import Contender, Proof, StudyResults
from armillary.types import Evaluations, Fidelity, options_from

_MOST_OF_A_FAULT = 120

_LIMITS = {
    "compute": "compute",
    "dram": "DRAM traffic",
    "on-chip": "on-chip traffic",
    "overhead": "overhead",
}


@dataclass(frozen=True)
class Highlight:
    """One large number with what it is and how it compares."""

    label: str
    value: str
    remarks: tuple[str, ...] = ()


def goal(results: StudyResults) -> str:
    """Return the objective in words: `lowest runtime with area at most 29.0 mm²`."""
    bounds = [
        f"{look_of(results, name).title.lower()} at most {text_of(results, name, bound)}"
        for name, bound in results.bounds.items()
    ]
    if results.front is not None:
        named = listed([_in_text(look_of(results, o.metric).title) for o in results.front.objectives])
        wanted = f"best trade of {named}"
    else:
        most = results.problem.objective.direction == "maximize"
        wanted = f"{'highest' if most else 'lowest'} {_in_text(look_of(results).title)}"
    return f"{wanted} with {listed(bounds)}" if bounds else wanted


def _in_text(words: str) -> str:
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def in_sentence(contender: Contender) -> str:
    """Return how a sentence names a contender that is not the subject: a phrase in small letters, a name as it is."""
    rest = contender.name.split()[1:]
    is_phrase = bool(rest) and all(word.islower() for word in rest)
    return f"the {_in_text(contender.name) if is_phrase else contender.name}"


def highlights(results: StudyResults) -> list[Highlight]:
    """Return the numbers that head the page."""
    metric = results.problem.metric
    shown = [_highlight(results, metric)]
    for other in dict.fromkeys([*results.bounds, "energy_pj", "area_mm2"]):
        if other != metric and math.isfinite(results.winner.metrics.get(other, math.nan)):
            shown.append(_highlight(results, other))
    if results.proof is not None:
        shown += _proven_highlight(results, results.proof)
    designs = f"{rows_are(results).capitalize()} designs"
    shown.append(Highlight(designs, f"{len(results.log):,}", _log_remarks(results.log)))
    if results.candidates is not None:
        total, legal = len(results.candidates.predicted), int(results.legal(results.candidates.evaluations).sum())
        shown.append(Highlight("Candidates measured", f"{total:,}", (f"{legal:,} {within(results.bounds)}",)))
    return shown


def _proven_highlight(results: StudyResults, proof: Proof) -> list[Highlight]:
    """Return what the truer evaluator measured of the winner; nothing if it measured others only."""
    metric, place = results.problem.metric, _place_in(proof, results)
    measured = results.measured(proof.evaluations)
    if place is None or not np.isfinite(measured[place]):
        return []
    fidelity = str(proof.evaluations.fidelity[place])
    label = f"{look_of(results, metric).title} by {'RTL' if fidelity == Fidelity.RTL else fidelity}"
    remark = f"{text_of(results, metric, float(proof.cheaper[place]))} by the {results.log.fidelity[0]} evaluator"
    return [Highlight(label, text_of(results, metric, float(measured[place])), (remark,))]


def _log_remarks(log: Evaluations) -> tuple[str, ...]:
    if not len(log):
        return ("the log is empty",)
    broken = int((~log.settled()).sum())
    infeasible = f"{percent(int((log.settled() & ~log.feasible).sum()) / len(log))} infeasible"
    return (infeasible, f"{percent(broken / len(log))} not evaluated") if broken else (infeasible,)


def _highlight(results: StudyResults, metric: str) -> Highlight:
    value = results.winner.metrics.get(metric, math.nan)
    remarks = []
    if metric in results.bounds:
        remarks.append(f"of {text_of(results, metric, results.bounds[metric])} allowed")
    for _, other in results.contenders()[1:]:
        text = comparison(metric, value, other.metrics.get(metric, math.nan))
        if text and other.failure is None:
            remarks.append(f"{text} {'to' if text == 'equal' else 'than'} {in_sentence(other)}")
    return Highlight(f"{look_of(results, metric).title} of the winner", text_of(results, metric, value), tuple(remarks))


def notice(results: StudyResults) -> str:
    """Return what a reader should know before anything else; empty if nothing."""
    if results.candidates is None or not results.winner_is_from_log or beating(results):
        return ""
    return "No candidate was better than the log: the winner shown here is the best logged design."


def paragraphs(results: StudyResults) -> list[str]:
    """Return the study in two short paragraphs: what came out, and how the search went."""
    outcome = [_search_sentence, _winner_sentence, _baseline_sentence, split_sentence, _limit_sentence, _proof_sentence]
    search = [_log_sentence, _candidates_sentence]
    return [" ".join(text for say in part if (text := say(results))) for part in (outcome, search)]


def _search_sentence(results: StudyResults) -> str:
    return (
        f"The goal was the {goal(results)} for {results.workload}, among the {count_text(results.space.size)} designs "
        f"of the {results.space.name} space."
    )


def _preferred_sentence(results: StudyResults, front: Front) -> str:
    reached = listed(
        [
            f"{_in_text(look_of(results, o.metric).title)} {text_of(results, o.metric, float(value))}"
            for o, value in zip(front.objectives, front.values[front.preferred], strict=True)
        ]
    )
    if len(front.rows) == 1:
        return f"One design is on the front: {reached}."
    return f"Of {len(front.rows):,} designs on the front the preferred one has {reached}."


def _winner_sentence(results: StudyResults) -> str:
    if results.front is not None:
        return _preferred_sentence(results, results.front)
    metric = results.problem.metric
    value = text_of(results, metric, results.winner.metrics.get(metric, math.nan))
    reached = f"a {_in_text(look_of(results, metric).title)} of {value}"
    if results.winner_is_from_log:
        if results.candidates is None:
            subject = "The best design found" if results.proof is None else "The winner"
            return f"{subject} reaches {reached}."
        if beating(results):
            return f"The winner is the best design of the log itself, with {reached}."
        legal = results.legal(results.candidates.evaluations).any()
        why = "no candidate beat it" if legal else f"no candidate was {within(results.bounds)}"
        return f"The winner is the best design of the log itself, with {reached}: {why}."
    text = comparison(
        metric, results.winner.metrics.get(metric, math.nan), results.best_of_log.metrics.get(metric, math.nan)
    )
    versus = {"": "", "equal": ", equal to the best design of the log"}.get(
        text, f", {text} than the best design of the log"
    )
    return f"The winner reaches {reached}{versus}."


def beating(results: StudyResults) -> int:
    """Return how many candidates are legal and better than the best of the log by the study's evaluator."""
    if results.candidates is None:
        return 0
    best_logged = results.best_of_log.metrics.get(results.problem.metric, math.nan)
    rows = results.candidates.evaluations
    ahead = results.measured(rows)[results.legal(rows)] - best_logged
    return int((ahead > 0 if results.problem.objective.direction == "maximize" else ahead < 0).sum())


def _proof_sentence(results: StudyResults) -> str:
    proof = results.proof
    if proof is None:
        return ""
    truer, count = listed(evaluators_of([proof.evaluations])), len(proof.evaluations)
    place = _place_in(proof, results)
    if not results.legal(proof.evaluations).any():
        return f"None of the {count:,} best designs was confirmed by {truer}." if count > 1 else (
            f"It was not confirmed by {truer}."
        )  # fmt: skip
    if place is None:
        return ""
    measured = text_of(results, results.problem.metric, float(results.measured(proof.evaluations)[place]))
    return f"Of {count:,} designs that {truer} measured again it is the best, with {measured}." if count > 1 else (
        f"Measured again by {truer}, it has {measured}."
    )  # fmt: skip


def _place_in(proof: Proof, results: StudyResults) -> int | None:
    """Return where the winner stands among the designs that were measured again; None if it was not."""
    places = [i for i, one in enumerate(proof.evaluations.to_list()) if one.design == results.winner.design]
    return places[0] if places else None


def _baseline_sentence(results: StudyResults) -> str:
    baseline = results.baseline
    if baseline is None:
        return ""
    if baseline.failure is not None:
        return f"T{in_sentence(baseline)[1:]} cannot run this workload ({baseline.failure})."
    metric = results.problem.metric
    winner, other = results.winner.metrics.get(metric, math.nan), baseline.metrics.get(metric, math.nan)
    text = comparison(metric, winner, other)
    if not text:
        return ""
    how = "equal to" if text == "equal" else f"{text} than"
    return f"It is {how} {in_sentence(baseline)} ({text_of(results, metric, other)} by the same evaluator)."


def _log_sentence(results: StudyResults) -> str:
    log = results.log
    failed = np.flatnonzero(log.settled() & ~log.feasible)
    broken = np.flatnonzero(~log.settled())
    designs = f"{len(log):,} {rows_are(results)} designs"
    if not len(failed) and not len(broken):
        return f"All {designs} were feasible."
    sentences = []
    if len(failed):
        why, count = Counter(reason(log, i) for i in failed.tolist()).most_common(1)[0]
        sentences.append(
            f"Of the {designs} {percent(len(failed) / len(log))} were infeasible, most often for "
            f"{_in_text(why)} ({percent(count / len(failed))} of them)."
        )
    if len(broken):
        fault = Counter(str(log.failure(i)) for i in broken.tolist()).most_common(1)[0][0]
        sentences.append(
            f"{len(broken):,} evaluation{'s' if len(broken) > 1 else ''} broke, which tells nothing of the designs; "
            f"most often: {shortened(fault, _MOST_OF_A_FAULT)}."
        )
    return " ".join(sentences)


def _candidates_sentence(results: StudyResults) -> str:
    candidates = results.candidates
    if candidates is None or not len(candidates.predicted):
        return ""
    legal = results.legal(candidates.evaluations)
    better = beating(results)
    tau = rank_agreement(results, candidates)
    ranked = (
        f" The rank correlation of prediction and measurement is {signed(tau)} (Kendall's τ)."
        if np.isfinite(tau)
        else ""
    )
    return (
        f"Of the {len(legal):,} candidates that the surrogate proposed, {int(legal.sum()):,} were "
        f"{within(results.bounds)} when measured and {better or 'none'} beat the best of the log.{ranked}"
    )


def split_sentence(results: StudyResults) -> str:
    """Return how much of the winner's time no design changes, and how it compares in the rest; empty if there is none.

    Only where time is what was minimised.
    """
    winner = results.winner
    if not winner.fixed_s or results.problem.metric not in ("runtime_s", "delay_cycles"):
        return ""
    causes = [] if winner.explanation is None else list(winner.explanation.fixed)
    fixed, total, rest = (text_of(results, "runtime_s", s) for s in (winner.fixed_s, winner.total_s, winner.rest_s))
    faster = [
        f"{text} {'to' if text == 'equal' else 'than'} {in_sentence(other)}"
        for _, other in results.contenders()[1:]
        if other.layers and (text := comparison("runtime_s", winner.rest_s, other.rest_s))
    ]
    return (
        f"Of the {total} of an inference {fixed} are fixed overhead ({listed(causes)}), which no design changes; "
        + (f"in the other {rest} it is {listed(faster)}." if faster else f"the other {rest} are what it can change.")
    )


def _limit_sentence(results: StudyResults) -> str:
    if not results.winner.layers:
        return ""
    shares = time_by_bound(results.winner, with_fixed=False)
    bound = max(shares, key=lambda name: shares[name])
    whole = "what it can change" if results.winner.fixed_s else "its time"
    return f"{_LIMITS[bound][:1].upper()}{_LIMITS[bound][1:]} sets the pace for {percent(shares[bound])} of {whole}."


def evaluators(results: StudyResults) -> list[str]:
    """Return every evaluator whose numbers the page shows, with version and fidelity."""
    return evaluators_of(_logs(results))


def evaluators_of(logs: Sequence[Evaluations], *, with_options: bool = False) -> list[str]:
    """Return the evaluators of rows, with version and fidelity: `gemmini 3 (analytical)`."""
    seen = {
        (str(name), str(version), str(fidelity), str(options) if with_options else "")
        for log in logs
        for name, version, fidelity, options in zip(log.evaluator, log.version, log.fidelity, log.options, strict=True)
    }
    return [
        f"{name} {version} ({', '.join([fidelity, *(f'{k}={v}' for k, v in options_from(options).items())])})"
        for name, version, fidelity, options in sorted(seen)
    ]


def part_rows(results: StudyResults) -> list[tuple[str, str]]:
    """Return what the study was made with, and its version; an evaluator with its options."""
    told = [("evaluator", text) for text in evaluators_of(_logs(results), with_options=True)]
    return [(name, version) for name, version in results.versions.items() if not name.startswith("evaluator ")] + told


def _logs(results: StudyResults) -> list[Evaluations]:
    proven = [] if results.proof is None else [results.proof.evaluations]
    return [results.log, *([] if results.candidates is None else [results.candidates.evaluations]), *proven]


def total_time(results: StudyResults) -> str:
    """Return how long all stages took."""
    return duration(sum(results.stage_seconds.values()))
