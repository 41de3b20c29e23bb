"""Logs that come with Armillary."""

import numpy as np
import pytest

from armillary import workloads
from armillary.evaluators.physical.space import architecture, hardware_of, joint, parted
from armillary.hardware import templates
from armillary.log import shipped
from armillary.log.folder import LogWriteError
from armillary.log.store import Log
from armillary.surrogates.ppa.elsewhere import technology_of
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads.context import context_of, difference

MOST_BYTES = 10e6


@pytest.mark.parametrize("name", shipped.names())
def test_rows_are_what_is_said_of_them(name):
    told = shipped.read(name)
    rows = Log(told.address).evaluations(told.space)
    assert (len(rows), int(rows.feasible.sum())) == (told.rows, told.feasible)
    assert set(rows.fidelity.tolist()) == {str(Fidelity.PHYSICAL)}
    spent = sum(np.nansum(column[rows.feasible]) for metric, column in rows.metrics.items() if metric.endswith("cpu_s"))
    assert spent == pytest.approx(told.cpu_s, abs=1)
    assert (rows.failure_kind[~rows.feasible] == "infeasible").all()
    assert {"pyosys", "coloquinte", "opensta"} <= set(told.versions)
    assert told.command.startswith("armillary collect ")


@pytest.mark.parametrize("name", shipped.names())
def test_rows_are_designs_for_their_workload(name):
    told = shipped.read(name)
    template = templates.load(told.space.removesuffix(".physical"))
    network = workloads.load(str(told.workload_file))
    rows = Log(told.address).evaluations(told.space)
    both = joint(template, [network], {"enablement": technology_of(rows, 0)})
    codes = both.space.encode_columns(rows.design)
    assert both.exists(codes).all()
    assert len(np.unique(codes, axis=0)) == len(codes)
    assert set(rows.workload.tolist()) == {network.name}
    assert difference(context_of(network).as_dict(), rows.context) is None
    feasible = rows.select(rows.feasible)
    runtime_s = feasible.metrics["delay_cycles"] / (feasible.metrics["effective_mhz"] * 1e6)
    np.testing.assert_allclose(feasible.metrics["runtime_s"], runtime_s)
    width = len(architecture(both.space))
    assert len(np.unique(codes[:, :width], axis=0)) * len(np.unique(codes[:, width:], axis=0)) >= len(codes)


def test_a_shipped_log_can_only_be_read():
    name = shipped.names()[0]
    log = Log(f"shipped://{name}")
    rows = log.evaluations(shipped.read(name).space)
    with pytest.raises(LogWriteError, match=f"log shipped://{name} comes with Armillary and can only be read"):
        log.append(rows)
    assert len(log) == len(rows)
    with pytest.raises(ArmillaryError, match="log shipped://none is unknown; choose one of"):
        Log("shipped://none")


def test_all_of_them_are_small():
    assert shipped.names()
    assert sum(path.stat().st_size for path in shipped.FOLDER.rglob("*") if path.is_file()) < MOST_BYTES


@pytest.mark.parametrize("name", shipped.names())
def test_no_two_architectures_are_the_same_hardware(name):
    told = shipped.read(name)
    rows = Log(told.address).evaluations(told.space)
    options = {"enablement": technology_of(rows, 0)}
    space = joint(templates.load(told.space.removesuffix(".physical")), options=options).space
    alone = {str(design): design for design, _ in map(parted, space.designs(space.encode_columns(rows.design)))}
    template = told.space.removesuffix(".physical")
    assert len({hardware_of(template, design) for design in alone.values()}) == len(alone)
