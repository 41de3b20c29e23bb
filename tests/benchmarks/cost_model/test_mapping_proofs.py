"""The benchmark of proofs: its rows, what its checks notice, and how it is asked for."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from armillary.benchmarks import BENCHES
from armillary.benchmarks.cost_model import mapping_proofs
from armillary.benchmarks.cost_model.mapping_layers import layers
from armillary.benchmarks.cost_model.mapping_peers import Judged
from armillary.benchmarks.cost_model.mapping_search import Case
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.cli import app
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.mapping.search import search
from armillary.workloads.layer import Layer, LayerUse, Workload

CHIP = Hierarchy(name="h", levels=(Level(name="DRAM"), Level(name="Reg", keeps="W", capacity_words=4)))
LAYER = Layer("l", "gemm", K=8, C=4, P=3)
CASES = [Case(CHIP, LAYER, goal, True) for goal in ("edp", "energy")]


def options(folder, *, quick=True):
    return BenchOptions(data=None, quick=quick, seed=0, out=folder, on_progress=lambda *_: None)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mapping_proofs, "_cases", lambda _: iter(CASES))
    monkeypatch.setattr(mapping_proofs, "peers", list)
    monkeypatch.setattr(mapping_proofs, "BUDGET", 8_000)


@pytest.fixture
def proof():
    found = search(CHIP, LAYER, method="proven", budget=4_000)
    return mapping_proofs.Proof(CASES[0], replace(found, bound=found.value), 1.0, 1.0, {})


def test_a_row_holds_the_value_of_its_mapping_and_a_bound_below_it(tmp_path, small):
    result = mapping_proofs.run(options(tmp_path))
    assert [row["goal"] for row in result.rows] == ["edp", "energy"]
    for row, case in zip(result.rows, CASES, strict=True):
        best = search(CHIP, LAYER, method="exhaustive", goal=case.goal)
        assert row["bound"] <= best.value * (1 + 1e-9)
        assert row["value"] >= best.value * (1 - 1e-9)
        assert float(row["gap"].rstrip("%")) / 100 == pytest.approx(1 - row["bound"] / row["value"], abs=1e-5)


def test_a_network_is_the_sum_of_its_layers(tmp_path, small, monkeypatch):
    workload = Workload("two", (LayerUse(LAYER, 3, 3), LayerUse(replace(LAYER, name="m", P=5))))
    monkeypatch.setattr(mapping_proofs, "gemmini", lambda: CHIP)
    monkeypatch.setattr(mapping_proofs.zoo, "build", lambda _: workload)
    row = mapping_proofs.run(options(tmp_path, quick=False)).rows[-1]
    best = [search(CHIP, use.layer, method="exhaustive", goal="energy").value for use in workload.layers]
    assert row["value"] == pytest.approx(3 * best[0] + best[1], rel=1e-6)
    assert row["bound"] <= row["value"]


def by_name(proofs):
    return {check.name: check for check in mapping_proofs._checks(proofs)}


def test_two_of_fourteen_proofs_may_stay_open_but_not_three(proof):
    wide = replace(proof, found=replace(proof.found, bound=0.9 * proof.found.value))
    assert by_name([proof] * 12 + [wide] * 2)["h: proven within 1%, of 14"].ok
    assert not by_name([proof] * 11 + [wide] * 3)["h: proven within 1%, of 14"].ok


def test_the_slowest_search_counts(proof):
    slow = replace(proof, seconds=mapping_proofs.LAYER_S + 1)
    assert by_name([proof])["slowest search of a layer, s"].ok
    assert not by_name([proof, slow])["slowest search of a layer, s"].ok


def test_a_search_ends_before_its_ten_seconds_are_over(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(mapping_proofs, "search", lambda *_, **options: asked.append(options) or search(CHIP, LAYER))
    mapping_proofs._proof(CASES[0], [], options(tmp_path))
    assert 0 < asked[0]["seconds"] < mapping_proofs.LAYER_S


def test_one_better_mapping_of_a_peer_is_noticed(proof):
    def beside(share):
        return replace(proof, judged={"Peer": Judged(share * proof.found.value, 1.0)})

    assert by_name([beside(1.0), beside(1.2)])["ours over Peer's, worst"].ok
    assert not by_name([beside(1.0), beside(0.99)])["ours over Peer's, worst"].ok


def test_a_quick_run_takes_a_layer_of_every_kind():
    cases = list(mapping_proofs._cases(quick=True))
    assert len({case.hierarchy.name for case in cases}) == 4
    assert {case.layer.kind for case in cases} >= {"gemm", "conv"}
    assert {case.layer.name for case in mapping_proofs._cases(quick=False)} == set(layers())


def test_mapping_with_prove_is_the_benchmark_of_proofs(tmp_path, monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        return lambda _: BenchResult([{"a": 1}], [Check("c", 1, "1", True)])

    monkeypatch.setattr(type(BENCHES), "load", lambda _, name: load(name))
    ended = CliRunner().invoke(app, ["bench", "mapping", "--prove", "--json", "--out", str(tmp_path)])
    assert ended.exit_code == 0
    assert asked == ["mapping-proofs"]
    assert json.loads(ended.stdout)["bench"] == "mapping-proofs"
    CliRunner().invoke(app, ["bench", "mapping", "--json", "--out", str(tmp_path)])
    assert asked[1:] == ["mapping"]
