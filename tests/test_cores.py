import os
import threading

import numpy as np
import pytest
import torch

from armillary.cores import available, ranges, workers
from armillary.types import ArmillaryError


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_cores_are_those_of_the_variable_or_of_the_scheduler(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    monkeypatch.delenv("ARMILLARY_CORES", raising=False)
    assert available() == 3
    monkeypatch.setenv("ARMILLARY_CORES", "12")
    assert available() == 12


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "1.5", " 2", "\u0662"])
def test_a_variable_without_a_number_of_cores_is_refused(text, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", text)
    with pytest.raises(ArmillaryError, match=r"ARMILLARY_CORES='.*' is not allowed; write a number from 1 up"):
        available()


def test_ranges_cover_everything_once():
    assert ranges(7, 3) == [(0, 3), (3, 6), (6, 7)]
    assert ranges(0, 3) == []


def test_every_range_is_worked_on_by_threads_that_compute_alone(two_threads):
    seen, inside = np.zeros(100, dtype=int), set()
    both = threading.Barrier(2)

    def work(first, last):
        if last <= 20:
            both.wait(timeout=10)  # passes only if two ranges are worked on at once
        seen[first:last] += 1
        inside.add(torch.get_num_threads())

    with workers(torch.device("cpu")) as share:
        share(work, ranges(100, 10))
    assert (seen == 1).all()
    assert inside == {1}
    assert torch.get_num_threads() == 2


def test_a_fault_in_the_work_is_raised_and_the_threads_restored(two_threads):
    def work(first, last):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), workers(torch.device("cpu")) as share:
        share(work, ranges(100, 10))
    assert torch.get_num_threads() == 2
