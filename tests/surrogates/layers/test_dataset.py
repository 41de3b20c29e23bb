"""Layer runs of a log as arrays."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.layers.dataset import layer_dataset
from armillary.types import ArmillaryError, EvaluatorSpec, Failure, Fidelity, LayerRun
from armillary.workloads.layer import Layer

SPACE = Space("mine", (Parameter("dim", (4, 8)), Parameter("flow", ("ws", "os"), kind="categorical")))
RTL = EvaluatorSpec("mine", Fidelity.RTL, "tool", "1", {"budget": 5})
TIME = datetime(2026, 1, 1)
FIRST, SECOND = Layer("first", "conv", K=8, C=4), Layer("second", "conv", K=9, C=4)
SMALL, LARGE = (SPACE.design_from({"dim": dim, "flow": "os"}, "test") for dim in (4, 8))
TOO_LARGE = Failure("infeasible", "rows", "second", 2.0, 1.0)


def run(design=SMALL, layer=FIRST, mapping="L0 K8", cycles=7.0, failure=None, network="net"):
    metrics = {} if failure else {"delay_cycles": cycles, "energy_pj": 2 * cycles}
    return LayerRun(design, layer, mapping, metrics, failure, network=network)


def logged(path, *runs, spec=RTL):
    log = Log(path)
    log.append_layers(LayerRuns.of_runs(runs, spec, TIME))
    return log


def test_rows_are_arrays_with_groups(tmp_path):
    log = logged(
        tmp_path,
        run(),
        run(LARGE, SECOND, "L0 K9", failure=TOO_LARGE),
        run(LARGE, replace(FIRST, name="same work"), network="other"),
        run(network=""),
    )
    found = layer_dataset(log, SPACE)
    assert found.codes.tolist() == [[0, 1], [1, 1], [1, 1], [0, 1]]
    assert [one.design for one in found.mapped] == [SMALL, LARGE, LARGE, SMALL]
    assert found.layers == [FIRST, SECOND, FIRST, FIRST]
    assert found.mappings == ["L0 K8", "L0 K9", "L0 K8", "L0 K8"]
    np.testing.assert_array_equal(found.delay_cycles, [7, np.nan, 7, 7])
    np.testing.assert_array_equal(found.energy_pj, [14, np.nan, 14, 14])
    assert found.feasible.tolist() == [True, False, True, True]
    assert found.hardware.tolist() == [0, 1, 1, 0]
    assert found.layer.tolist() == [0, 1, 0, 0]
    assert [found.networks[number] for number in found.network] == ["net", "net", "other", ""]
    assert [one.network for one in found.mapped] == ["net", "net", "other", ""]
    some = found.select(np.array([False, True, True, False]))
    assert (len(some), some.layer.tolist(), some.mapped) == (2, [1, 0], found.mapped[1:3])


def test_of_runs_written_twice_the_last_counts(tmp_path):
    found = layer_dataset(logged(tmp_path, run(cycles=7), run(LARGE), run(cycles=8)), SPACE)
    assert found.delay_cycles.tolist() == [7, 8]
    assert [one.design for one in found.mapped] == [LARGE, SMALL]


def test_what_broke_or_has_no_mapping_is_left_out(tmp_path):
    log = logged(tmp_path, run(), run(LARGE, failure=Failure("error", detail="x")), run(LARGE, mapping=""))
    assert len(layer_dataset(log, SPACE)) == 1
    with pytest.raises(ArmillaryError, match="holds no layer run that ended"):
        layer_dataset(logged(tmp_path / "other", run(failure=Failure("timeout"))), SPACE)


def test_networks_are_chosen(tmp_path):
    log = logged(tmp_path, run(), run(LARGE, network="other"))
    assert [one.design for one in layer_dataset(log, SPACE, networks=["other"]).mapped] == [LARGE]
    with pytest.raises(ArmillaryError, match=r"no layer run of network 'third'; it has \['net', 'other'\]"):
        layer_dataset(log, SPACE, networks=["third"])


def test_fidelities_are_told_apart(tmp_path):
    log = logged(tmp_path, run(cycles=7))
    logged(tmp_path, run(cycles=5), spec=replace(RTL, fidelity=Fidelity.ANALYTICAL, name="model"))
    with pytest.raises(ArmillaryError, match=r"fidelities \['analytical', 'rtl'\]; name one"):
        layer_dataset(log, SPACE)
    assert layer_dataset(log, SPACE, fidelity="analytical").delay_cycles.tolist() == [5]
    assert layer_dataset(log, SPACE, fidelity="rtl").delay_cycles.tolist() == [7]
    with pytest.raises(ArmillaryError, match="no layer run of fidelity 'physical'"):
        layer_dataset(log, SPACE, fidelity="physical")


@pytest.mark.parametrize("changed", [{"version": "2"}, {"options": {"budget": 6}}], ids=["version", "options"])
def test_several_evaluators_are_refused(changed, tmp_path):
    log = logged(tmp_path, run())
    logged(tmp_path, run(LARGE), spec=replace(RTL, **changed))
    with pytest.raises(ArmillaryError, match=r"several evaluators: tool 1 at rtl, .*; tool "):
        layer_dataset(log, SPACE)


def test_who_brought_the_mapping_makes_no_difference(tmp_path):
    log = logged(tmp_path, run())
    logged(tmp_path, run(LARGE), spec=replace(RTL, options={"budget": 5, "mappings": "given"}))
    assert len(layer_dataset(log, SPACE)) == 2


def test_a_missing_metric_is_named(tmp_path):
    log = logged(tmp_path, LayerRun(SMALL, FIRST, "L0 K8", {"delay_cycles": 1.0}))
    with pytest.raises(ArmillaryError, match="a feasible layer run has no energy_pj"):
        layer_dataset(log, SPACE)
