"""Architectures and knobs of the back end as one space."""

from dataclasses import replace

import numpy as np
import pytest

from armillary import evaluators
from armillary.evaluators.physical.space import KNOBS, architecture, joint, parted, without_knobs
from armillary.hardware import templates
from armillary.hardware.rtl import PLATFORMS
from armillary.studies.subject import Shipped
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Workload

SVM = Workload("svm", (), algorithm=Algorithm("svm", "inference", 8, weights=(0.5,) * 8))
LONGER = Workload("longer", (), algorithm=Algorithm("svm", "inference", 20, weights=(0.5,) * 20))
AXILINE = templates.load("axiline")


@pytest.mark.parametrize("name", PLATFORMS.names())
def test_every_platform_has_a_joint_space(name):
    own = templates.load(name)
    both = joint(own)
    assert (both.name, both.space.name) == (name, f"{name}.physical")
    assert both.space.names == (*own.space.names, *KNOBS)
    assert architecture(both.space) == own.space.names == architecture(own.space)
    clocks = both.space.parameter("clock_ns").values
    assert 8 <= len(clocks) <= 12
    assert np.ptp(np.diff(np.log(clocks))) < 0.05  # geometric but for rounding
    assert both.baseline.as_dict().items() >= own.baseline.as_dict().items()


def test_a_design_falls_into_architecture_and_knobs():
    both = joint(AXILINE)
    design, knobs = parted(both.baseline)
    assert design == AXILINE.baseline
    assert knobs == {"clock_ns": 0.95, "utilization": 0.6, "aspect_ratio": 1.0, "aim": "speed"}
    assert parted(AXILINE.baseline) == (AXILINE.baseline, {})


def test_a_knob_that_is_set_varies_no_longer():
    both = joint(AXILINE, options={"clock_ns": "1.23", "aim": "area", "effort": 2})
    assert both.space.parameter("clock_ns").values == (1.23,)
    assert both.space.parameter("aim").values == ("area",)
    assert len(both.space.parameter("utilization").values) > 1
    assert both.baseline["clock_ns"] == 1.23
    with pytest.raises(ArmillaryError, match="utilization='2' is not allowed"):
        joint(AXILINE, options={"utilization": "2"})


def test_periods_are_those_of_the_technology():
    near, far = joint(AXILINE), joint(AXILINE, options={"enablement": "osu018"})
    periods = [np.array(one.space.parameter("clock_ns").values) for one in (near, far)]
    np.testing.assert_allclose(periods[1], 4.2 * periods[0], rtol=0.02)
    assert far.space.name == near.space.name
    assert far.baseline["clock_ns"] == periods[1][np.flatnonzero(periods[0] == near.baseline["clock_ns"])[0]]
    with pytest.raises(ArmillaryError, match="enablement 'none' is unknown"):
        joint(AXILINE, options={"enablement": "none"})


def test_parameters_are_those_that_the_workloads_leave_open():
    both = joint(AXILINE, [SVM, LONGER])
    values = {p.name: p.values for p in both.space.parameters}
    assert (values["algorithm"], values["mode"], values["depth"]) == (("svm",), ("inference",), (1,))
    assert values["dimension"] == tuple(range(20, 129))
    assert both.baseline is None  # which trains
    training = replace(SVM.algorithm, mode="training", weights=None)
    assert joint(AXILINE, [replace(SVM, algorithm=training)]).baseline["dimension"] == 54


def test_models_know_all_values_and_workloads_leave_some_open():
    subject = Shipped("axiline", Fidelity.PHYSICAL, {"aim": "speed"})
    whole, open_ = subject.template([SVM], whole=True), subject.template([SVM])
    assert whole.space == subject.template().space
    codes = np.random.default_rng(0).integers(0, whole.space.cardinalities, size=(2000, len(whole.space.names)))
    inside = [
        design["algorithm"] == "svm" and design["mode"] == "inference" and design["dimension"] >= 8
        and design["depth"] == 1
        for design in whole.space.designs(codes)
    ]  # fmt: skip
    assert 0 < sum(inside) < 2000
    np.testing.assert_array_equal(whole.space.inside(open_.space, codes), inside)


def test_what_exists_and_what_is_known_is_that_of_the_architecture():
    both = joint(AXILINE, [SVM])
    codes = np.random.default_rng(0).integers(0, both.space.cardinalities, size=(300, len(both.space.names)))
    alone = AXILINE.space.encode([parted(design)[0] for design in both.space.designs(codes)])
    assert 0 < both.exists(codes).sum() < 300
    np.testing.assert_array_equal(both.exists(codes), AXILINE.exists(alone))
    law = {"area_mm2": lambda codes: 1.0 + codes[:, AXILINE.space.names.index("dimension")]}
    listed = replace(AXILINE, laws=law, candidates=alone[:3])
    known = joint(listed, [SVM])
    np.testing.assert_array_equal(known.laws["area_mm2"](codes), law["area_mm2"](alone))
    points = int(np.prod([len(both.space.parameter(name).values) for name in KNOBS]))
    assert known.candidates.shape == (3 * points, len(both.space.names))
    assert {parted(d)[0] for d in both.space.designs(known.candidates)} == set(AXILINE.space.designs(alone[:3]))
    assert len(np.unique(known.candidates, axis=0)) == len(known.candidates)


def test_a_specification_for_joint_designs_tells_no_knob():
    spec = evaluators.spec_of("axiline", Fidelity.PHYSICAL, {"clock_ns": 2.0, "effort": 2})
    assert set(spec.options) - set(without_knobs(spec).options) == set(KNOBS)
    assert without_knobs(spec).options["effort"] == 2


def test_a_template_without_layouts_has_none():
    with pytest.raises(ArmillaryError, match="template 'edge_tpu' has no evaluator of fidelity 'physical'"):
        joint(templates.load("edge_tpu"))
