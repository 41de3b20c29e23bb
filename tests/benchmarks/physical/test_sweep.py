from pathlib import Path

import pytest

from armillary.benchmarks.physical.sweep import LANES, SUPPORT_VECTORS, checks_of, draw, row_of
from armillary.evaluators.physical.flow import Layout
from armillary.hardware import templates

FIGURES = {"effective_mhz": 900.0, "power_mw": 2.0, "area_mm2": 1e-3, "wire_mm": 9.0, "cells": 700}


def point(clock, part, failure="", **figures):
    return row_of(SUPPORT_VECTORS, clock, part, Layout(Path(), {**FIGURES, **figures}, (), failure))


@pytest.fixture
def rows():
    faster = {"effective_mhz": 1000.0, "power_mw": 4.0, "area_mm2": 1.1e-3}
    return [
        point(2.0, 0.4),
        point(2.0, 0.8, wire_mm=8.0),
        point(1.0, 0.4, **faster),
        point(1.0, 0.8, wire_mm=8.0, **faster),
    ]


def test_points_that_answer_as_physics_says_pass(rows):
    assert all(check.ok for check in checks_of(rows, SUPPORT_VECTORS))
    values = {check.name: check.value for check in checks_of(rows, SUPPORT_VECTORS)}
    assert values["axiline: area, tightest clock over loosest"] == pytest.approx(1.1)
    assert values["axiline: wires, highest utilization over lowest"] == pytest.approx(0.889)


def test_points_without_figures_are_left_out_of_means(rows):
    none = row_of(SUPPORT_VECTORS, 1.0, 0.8, Layout(Path(), {}, (), "cells fill 1.03 of the rows", "optimization"))
    values = {check.name: check for check in checks_of([*rows[:-1], none], SUPPORT_VECTORS)}
    assert not values["axiline: points without a layout"].ok
    assert values["axiline: area, tightest clock over loosest"].value == pytest.approx(1.1)


@pytest.mark.parametrize(("wrong", "name"), [
    ({"failure": "no room"}, "points without a layout"),
    ({"area_um2": 1.0}, "area, tightest"),
    ({"power_mw": 0.0}, "power"), ({"wire_mm": 99.0}, "wires"), ({"cpu_s": 99.0}, "CPU seconds"),
])  # fmt: skip
def test_points_that_do_not_fail(rows, wrong, name):
    rows[-1] |= wrong
    failed = [check.name for check in checks_of(rows, SUPPORT_VECTORS) if not check.ok]
    assert len(failed) == 1
    assert failed[0].startswith(f"axiline: {name}")


def test_the_picture_leaves_out_what_failed(rows, tmp_path):
    pytest.importorskip("matplotlib")
    draw(
        [*rows, row_of(SUPPORT_VECTORS, 4.0, 0.4, Layout(Path(), {}, (), "no room", "placement"))],
        tmp_path / "sweep.png",
    )
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_both_designs_exist_and_a_smaller_sweep_is_of_the_loosest_points():
    for swept in (SUPPORT_VECTORS, LANES):
        space = templates.load(swept.template).space
        space.design_from({**templates.load(swept.template).defaults, **swept.design}, "the sweep")
        assert list(swept.clocks_ns) == sorted(swept.clocks_ns)
    assert SUPPORT_VECTORS.smaller().points == [(2.4, 0.4), (2.4, 0.55), (4.0, 0.4), (4.0, 0.55)]
