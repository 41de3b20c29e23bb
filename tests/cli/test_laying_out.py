"""When `design --verify physical` searches by layouts, and what it then asks."""

import pytest

from armillary import workloads
from armillary.cli.laying_out import is_searched, layout_rows, one_network, request_of, subject_of_layouts
from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.studies.layout_recipe import CAUTIOUS
from armillary.studies.results import LaidOut
from armillary.types import ArmillaryError, Failure


@pytest.mark.parametrize(
    ("template", "verify", "searched"),
    [
        ("axiline", ("physical",), True),
        ("tabla", ("rtl", "physical"), True),
        ("axiline", ("rtl",), False),
        ("gemmini", ("rtl", "physical"), False),
        ("edge_tpu", ("physical",), False),
    ],
)
def test_layouts_are_searched_where_only_they_tell_the_area(template, verify, searched):
    assert is_searched(verify, template) == searched


def test_cycles_are_simulated_where_rtl_is_asked_too():
    assert subject_of_layouts("axiline", ("rtl", "physical"), {"clock_ns": "1.2"}).options == {
        "cycles": "rtl",
        "clock_ns": "1.2",
    }
    assert subject_of_layouts("axiline", ("physical",), {}).options == {}


def test_half_of_the_budget_is_laid_out_before_anything_is_learned():
    subject, network = subject_of_layouts("axiline", ("physical",), {}), workloads.load("mobilenet_v2")
    asked = {"source": "x.onnx", "objectives": (Objective("energy_j"),), "picks": None, "optimizer": None}
    default = request_of(subject, network, asked, None, conservative=False)
    assert (default.budget, default.samples, default.picks, default.caution) == (40, 20, 3, 0.0)
    small = request_of(subject, network, {**asked, "picks": 2, "samples": 4}, 10, conservative=True)
    assert (small.budget, small.samples, small.picks, small.caution) == (10, 4, 2, CAUTIOUS)


def test_several_networks_are_refused():
    with pytest.raises(ArmillaryError, match="lays out designs for one network"):
        one_network([workloads.load("mobilenet_v2")] * 2)


def test_the_rows_tell_what_was_predicted_and_by_how_much_it_was_off():
    design = Space("s", (Parameter("a", (1, 2)),)).design([0])
    made = LaidOut("Pick 1", design, {"energy_j": 1.1}, {"energy_j": 1.0, "cells": 5.0})
    broken = LaidOut("Pick 2", design, {"energy_j": 1.1}, {}, failure=Failure("infeasible", "routing"))
    first, second = layout_rows([made, broken])
    assert first["error"] == {"energy_j": pytest.approx(0.1)}
    assert first["measured"]["cells"] == 5.0
    assert (second["error"], second["failure"]) == ({}, "routing")
