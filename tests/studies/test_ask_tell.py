from datetime import datetime

import numpy as np

from armillary.problems.outcomes import Outcomes
from armillary.studies.ask_tell import Budget, as_workers_are_free, by_codes
from armillary.types import Candidate, Design, Evaluation, Fidelity


class Paced:
    """Wants as many designs as it was told results, up to four."""

    def __init__(self):
        self.after = []

    def asks_after(self, told):
        self.after.append(told)
        return min(told, 4)

    def ask_codes(self, n):
        return np.zeros((n, 1), dtype=np.int64)

    def tell_codes(self, codes, outcomes):
        assert len(codes) == len(outcomes.feasible)


def evaluated(codes):
    return Outcomes({"area_mm2": np.ones(len(codes))}, np.ones(len(codes), dtype=bool))


def test_what_was_told_before_sets_the_pace_and_costs_nothing():
    optimizer = Paced()
    batches = by_codes(optimizer, evaluated, Budget(7), lambda found: found.metrics["area_mm2"], told=3)
    assert [len(codes) for codes, _ in batches] == [3, 4]
    assert optimizer.after == [3, 6]


class Noting:
    """Asks for the numbers from 0 up; notes what it was asked, told and what was pending."""

    def __init__(self):
        self.noted, self.number = [], 0

    def heed(self, pending):
        self.noted.append(("pending", [one.design["n"] for one in pending]))

    def ask(self, n):
        assert n == 1
        self.noted.append(("ask", self.number))
        self.number += 1
        return [Candidate(Design("numbers", (("n", self.number - 1),)))]

    def tell(self, candidates, outcomes):
        assert outcomes.metrics["area_mm2"].tolist() == [float(one.design["n"]) for one in candidates]
        self.noted.append(("tell", [one.design["n"] for one in candidates]))


def by_two_workers(candidates):
    """Yield results as two workers would, the second candidate of each pair first."""
    numbered = enumerate(candidates)

    def result(number, candidate):
        told = {"area_mm2": float(candidate.design["n"])}
        plain = ("w", {}, "e", "1", Fidelity.ANALYTICAL, told, True, None, 0.0, 0, datetime(2026, 1, 1))
        return number, Evaluation(candidate.design, *plain)

    first = next(numbered)
    for second in numbered:
        yield result(*second)
    yield result(*first)


def test_a_free_worker_is_asked_for_at_once_and_what_is_pending_is_heeded():
    optimizer = Noting()
    found = [e.design["n"] for e in as_workers_are_free(optimizer, by_two_workers, 4)]
    assert found == [1, 2, 3, 0]
    assert optimizer.noted == [
        ("pending", []), ("ask", 0), ("pending", [0]), ("ask", 1), ("tell", [1]),
        ("pending", [0]), ("ask", 2), ("tell", [2]), ("pending", [0]), ("ask", 3), ("tell", [3]), ("tell", [0]),
    ]  # fmt: skip
