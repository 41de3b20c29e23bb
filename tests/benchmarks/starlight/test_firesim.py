"""Starlight on Gemmini's runs on FireSim: small files of the artifact's form, whose truth follows from the prior."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks import parts
from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.rtl.firesim import read_rows
from armillary.benchmarks.starlight import firesim, firesim_rows
from armillary.types import ArmillaryError
from benchmarks.rtl.test_firesim import fields, written

SIZES = ((16, 8), (32, 8), (16, 16), (64, 16), (32, 32))


def mappings(k, p):
    """Yield mappings of a layer of `fields` onto arrays of 4 and 8."""
    for dim in (4, 8):
        for q in (1, 2, 4):
            for order in ("K{k} Q{q}", "Q{q} K{k}", "R3 K{k} Q{q}"):
                rest = "S3" if order.startswith("R3") else "R3 S3"
                text = (
                    f"L3[WIO] {order.format(k=k // dim, q=q)} - L2[WI] N1 K{dim}X - L1[O] Q{p // q} {rest} "
                    f"C{8 // dim} C{dim}X - L0[W] P{p}"
                )
                yield text.replace("K1 ", "").replace("Q1 ", "").replace("C1 ", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files; the truth is 1.5 times the model of the system, the published value a third of it."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, sizes in (("train", SIZES[:4]), ("test_dnn", SIZES[2:]), ("other", SIZES[1:])):
        rows = [fields(text, cycles=1.0, K=k, P=p, Q=p, timeloop=7.0) for k, p in sizes for text in mappings(k, p)]
        path = written(root / f"{name}.csv", rows)
        said = [firesim_rows.said_of(row)["delay_cycles"] for row in read_rows(path)]
        for row, cycles in zip(rows, said, strict=True):
            row["target.gemmini_cycle"] = 1.5 * cycles * np.exp(0.01 * rng.standard_normal())
            row["target.cycle"] = cycles / 2 * np.exp(0.3 * rng.standard_normal())
        written(path, rows)
    return root


def options(data, out, quick=False):
    return BenchOptions(data, quick, 0, out, lambda *_: None)


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "in_processes", lambda jobs, _: [job() for job in jobs.values()])
        patch.setattr(firesim, "REPEATS", 1)
        patch.setattr(firesim, "LEAST_SHARE", 0.1)
        yield firesim.run(options(folder, tmp_path_factory.mktemp("out")))


def test_starlight_learns_what_the_prior_lacks(result):
    lines = {(line["test"], line["model"]): line for line in result.rows}
    assert len(lines) == 2 * 7
    for name in ("test_dnn", "other"):
        assert lines[name, firesim.PRIOR]["bias"] == pytest.approx(1 / 1.5, rel=0.02)
        assert lines[name, firesim.STARLIGHT]["mean_error"] < 0.1
        assert lines[name, firesim.STARLIGHT]["rmsle"] < 0.5 * lines[name, firesim.PRIOR]["rmsle"]
        assert lines[name, firesim.CALIBRATED]["mean_error"] < 0.02
        assert lines[name, firesim.WITH_OTHERS]["training"] == lines[name, firesim.STARLIGHT]["training"] + 50
        assert lines[name, firesim.STARLIGHT]["training"] <= lines[name, firesim.EVERY]["training"] == 72
        assert lines[name, firesim.ANALYTICAL]["mean_error"] > 0.5
    assert result.ok


def test_a_goal_that_is_missed_is_told(result):
    good = list(result.rows)

    def missed(model, **changes):
        table = [{**line, **changes} if (line["test"], line["model"]) == ("test_dnn", model) else line for line in good]
        return [check.name for check in firesim.checks(table) if not check.ok]

    assert missed(firesim.STARLIGHT, rmsle=0.43) == ["test_dnn: rmsle, starlight"]
    assert missed(firesim.WITH_OTHERS, rmsle=0.39) == [f"test_dnn: rmsle, {firesim.WITH_OTHERS}"]
    most = next(line["mean_error"] for line in good if line["model"] == firesim.ANALYTICAL) + 0.031
    assert missed(firesim.STARLIGHT, mean_error=most) == ["test_dnn: mean error, starlight"]
    assert missed(firesim.STARLIGHT, spearman=0.5) == ["test_dnn: rank correlation, starlight"]
    # of a file without goals of its own
    assert not any(line["test"] == "test_analytical" for line in good)


def test_nothing_that_is_known_of_a_row_was_measured(folder):
    row = read_rows(folder / "train.csv")[3]
    assert firesim_rows.said_of(row) == firesim_rows.said_of(replace(row, cycles=3.0, timeloop=2.0))


def test_rows_are_known_in_their_order_and_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "in_processes", lambda jobs, _: [job() for job in jobs.values()])
    monkeypatch.setattr(firesim_rows, "_TOGETHER", 5)
    rows = read_rows(folder / "train.csv")[:13]
    found = firesim_rows.known(rows, tmp_path, lambda *_: None)
    assert list(found.said) == [firesim_rows.said_of(row) for row in rows]
    assert len(list(tmp_path.glob("*.json"))) == 3
    monkeypatch.setattr(firesim_rows, "said_of", None)  # would fail if it were called
    assert firesim_rows.known(rows, tmp_path, lambda *_: None) == found
    picked = found.select(np.array([4, 2]))
    assert picked.rows == (rows[4], rows[2])
    data = picked.dataset(firesim_rows.space_of(rows))
    assert data.delay_cycles.tolist() == [rows[4].cycles, rows[2].cycles]
    assert [one.design["dim"] for one in data.mapped] == [rows[4].dim, rows[2].dim]


def test_the_share_of_the_peak_is_one_where_every_multiplier_is_busy(folder):
    rows = read_rows(folder / "train.csv")[:2]
    peak = [row.layer.macs / row.dim**2 for row in rows]
    busy = firesim_rows.Known(tuple(rows), tuple({"delay_cycles": cycles} for cycles in (peak[0], 4 * peak[1])))
    assert busy.peak_share.tolist() == [1.0, 0.25]


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(ArmillaryError, match="starlight-firesim compares with the DOSA artifact's rows"):
        firesim.run(options(None, tmp_path))
    (tmp_path / "alone.csv").write_text((folder / "train.csv").read_text())
    with pytest.raises(ArmillaryError, match=r"has \['alone'\]; train.csv is needed to learn from, and another"):
        firesim.run(options(tmp_path, tmp_path))
