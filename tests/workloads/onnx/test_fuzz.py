"""Damaged files are read or refused: no traceback, no hang, no more than 2 GiB."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from workloads.onnx import damaged_models


def test_some_hundred_damaged_files_break_nothing(tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    for number, content in enumerate(damaged_models.mutants(300, seed=1)):
        path.write_bytes(content)
        assert (number, damaged_models.attempt(path)) == (number, "")


@pytest.mark.slow
def test_twenty_thousand_damaged_files_break_nothing(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        shares = pool.starmap(damaged_models.share, [(seed, 1000, tmp_path) for seed in range(100, 120)])
    assert [wrong for share in shares for wrong in share] == []
