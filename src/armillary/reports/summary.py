"""The study in plain words and in a few large numbers, written from the results."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from armillary.reports.candidate_figures import rank_agreement
from armillary.reports.layer_figures import time_by_bound
from armillary.reports.wording import (
    comparison,
    duration,
    listed,
    look,
    metric_text,
    percent,
    shortened,
    signed,
    title,
)
from armillary.studies.results import Contender, StudyResults
from armillary.types import Evaluations

_MOST_OF_A_FAULT = 120

_LIMITS = {
    "compute": "compute",
    "dram": "DRAM traffic",
    "on-chip": "on-chip traffic",
    "overhead": "fixed overhead",
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
        f"{look(name).title.lower()} at most {metric_text(name, bound)}"
        for name, bound in results.problem.upper_bounds.items()
    ]
    wanted = f"lowest {_in_text(look(results.problem.metric).title)}"
    return f"{wanted} with {listed(bounds)}" if bounds else wanted


def _in_text(words: str) -> str:
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def in_sentence(contender: Contender) -> str:
    """Return how a sentence names a contender that is not the subject."""
    return f"the {_in_text(contender.name) if contender.name.lower().startswith('best') else contender.name}"


def highlights(results: StudyResults) -> list[Highlight]:
    """Return the numbers that head the page."""
    metric = results.problem.metric
    shown = [_highlight(results, metric)]
    for other in dict.fromkeys([*results.problem.upper_bounds, "energy_pj", "area_mm2"]):
        if other != metric and math.isfinite(results.winner.metrics.get(other, math.nan)):
            shown.append(_highlight(results, other))
    shown.append(Highlight("Logged designs", f"{len(results.log):,}", _log_remarks(results.log)))
    if results.candidates is not None:
        total, legal = len(results.candidates.predicted), int(results.legal(results.candidates.evaluations).sum())
        within = "within bounds" if results.problem.upper_bounds else "feasible"
        shown.append(Highlight("Candidates measured", f"{total:,}", (f"{legal:,} {within}",)))
    return shown


def _log_remarks(log: Evaluations) -> tuple[str, ...]:
    if not len(log):
        return ("the log is empty",)
    broken = int((~log.settled()).sum())
    infeasible = f"{percent(int((log.settled() & ~log.feasible).sum()) / len(log))} infeasible"
    return (infeasible, f"{percent(broken / len(log))} not evaluated") if broken else (infeasible,)


def _highlight(results: StudyResults, metric: str) -> Highlight:
    value = results.winner.metrics.get(metric, math.nan)
    remarks = []
    if metric in results.problem.upper_bounds:
        remarks.append(f"of {metric_text(metric, results.problem.upper_bounds[metric])} allowed")
    for _, other in results.contenders()[1:]:
        text = comparison(metric, value, other.metrics.get(metric, math.nan))
        if text and other.failure is None:
            remarks.append(f"{text} {'to' if text == 'equal' else 'than'} {in_sentence(other)}")
    return Highlight(f"{look(metric).title} of the winner", metric_text(metric, value), tuple(remarks))


def paragraphs(results: StudyResults) -> list[str]:
    """Return the study in two short paragraphs: what came out, and how the search went."""
    outcome = [_search_sentence, _winner_sentence, _baseline_sentence, _limit_sentence]
    search = [_log_sentence, _candidates_sentence]
    return [" ".join(text for say in part if (text := say(results))) for part in (outcome, search)]


def _search_sentence(results: StudyResults) -> str:
    return (
        f"The goal was the {goal(results)} for {results.workload}, among the {results.space.size:,} designs of the "
        f"{results.space.name} space."
    )


def _winner_sentence(results: StudyResults) -> str:
    metric = results.problem.metric
    value = metric_text(metric, results.winner.metrics.get(metric, math.nan))
    reached = f"a {_in_text(look(metric).title)} of {value}"
    if results.winner_is_from_log:
        if results.candidates is None:
            return f"The best design found reaches {reached}."
        legal = results.legal(results.candidates.evaluations).any()
        why = "no candidate beat it" if legal else "no candidate was legal"
        return f"The winner is the best design of the log itself, with {reached}: {why}."
    text = comparison(
        metric, results.winner.metrics.get(metric, math.nan), results.best_of_log.metrics.get(metric, math.nan)
    )
    versus = {"": "", "equal": ", equal to the best design of the log"}.get(
        text, f", {text} than the best design of the log"
    )
    return f"The winner reaches {reached}{versus}."


def _baseline_sentence(results: StudyResults) -> str:
    baseline = results.baseline
    if baseline is None:
        return ""
    if baseline.failure is not None:
        return f"The {baseline.name} cannot run this workload ({baseline.failure})."
    metric = results.problem.metric
    winner, other = results.winner.metrics.get(metric, math.nan), baseline.metrics.get(metric, math.nan)
    text = comparison(metric, winner, other)
    if not text:
        return ""
    how = "equal to" if text == "equal" else f"{text} than"
    return f"It is {how} the {baseline.name} ({metric_text(metric, other)} by the same evaluator)."


def _log_sentence(results: StudyResults) -> str:
    log = results.log
    failed = np.flatnonzero(log.settled() & ~log.feasible)
    broken = np.flatnonzero(~log.settled())
    if not len(failed) and not len(broken):
        return f"All {len(log):,} logged designs were feasible."
    sentences = []
    if len(failed):
        reason, count = Counter(str(log.failure_resource[i] or log.failure_kind[i]) for i in failed).most_common(1)[0]
        sentences.append(
            f"Of the {len(log):,} logged designs {percent(len(failed) / len(log))} were infeasible, most often for "
            f"{_in_text(title(reason))} ({percent(count / len(failed))} of them)."
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
    metric = results.problem.metric
    best_logged = results.best_of_log.metrics.get(metric, math.nan)
    better = int((results.measured(candidates.evaluations)[legal] < best_logged).sum())
    tau = rank_agreement(results, candidates)
    ranked = (
        f" The rank correlation of prediction and measurement is {signed(tau)} (Kendall's τ)."
        if np.isfinite(tau)
        else ""
    )
    return (
        f"Of the {len(legal):,} candidates that the surrogate proposed, {int(legal.sum()):,} were legal when measured "
        f"and {better or 'none'} beat the best of the log.{ranked}"
    )


def _limit_sentence(results: StudyResults) -> str:
    if not results.winner.layers:
        return ""
    shares = time_by_bound(results.winner)
    bound = max(shares, key=lambda name: shares[name])
    return f"{_LIMITS[bound][:1].upper()}{_LIMITS[bound][1:]} sets the pace for {percent(shares[bound])} of its time."


def evaluators(results: StudyResults) -> list[str]:
    """Return every evaluator whose numbers the page shows, with version and fidelity."""
    logs = [results.log, *([results.candidates.evaluations] if results.candidates is not None else [])]
    seen = {
        (str(name), str(version), str(fidelity))
        for log in logs
        for name, version, fidelity in zip(log.evaluator, log.version, log.fidelity, strict=True)
    }
    return [f"{name} {version} ({fidelity})" for name, version, fidelity in sorted(seen)]


def total_time(results: StudyResults) -> str:
    """Return how long all stages took."""
    return duration(sum(results.stage_seconds.values()))
