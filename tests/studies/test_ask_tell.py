import numpy as np

from armillary.problems.outcomes import Outcomes
from armillary.studies.ask_tell import Budget, by_codes


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
