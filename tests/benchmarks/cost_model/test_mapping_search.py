import math
import re
from pathlib import Path

import pytest

from armillary.benchmarks import BENCHES
from armillary.benchmarks.cost_model import mapping_search
from armillary.benchmarks.cost_model.mapping_layers import PRIME, layers
from armillary.benchmarks.cost_model.mapping_peers import Peer, judged
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.hardware.mapping import Mapping
from armillary.mapping.peers.answer import PeerAnswer
from armillary.types import AccidentError, ArmillaryError
from armillary.workloads.layer import Layer, LayerUse, Workload

CHIP = Hierarchy(name="h", levels=(Level(name="DRAM"), Level(name="Reg", keeps="W", capacity_words=4)))
LAYER = Layer("l", "gemm", K=8, C=4)


def options(folder):
    return BenchOptions(data=None, quick=True, seed=0, out=folder, on_progress=lambda *_: None)


def peer(best_mapping, told_as=lambda hierarchy: iter([hierarchy]), version="1"):
    return Peer("Peer", "armillary.mapping.peers.answer", "python", version, "get it", best_mapping, told_as)


def answering(text, **more):
    mapping = None if text is None else Mapping.parse(text)
    return lambda *_, **__: PeerAnswer("Peer 1", 1.0, 2.0, 3, 4.0, mapping=mapping, **more)


def test_a_peers_mapping_is_costed_by_our_model(tmp_path):
    best = "L1[WIO] C4 K2 - L0[W] K4"
    found = judged(peer(answering(best, lost="less held")), CHIP, LAYER, "delay", tmp_path)
    assert (found.value, found.seconds, found.remark) == (32.0, 4.0, "less held")


@pytest.mark.parametrize(
    ("text", "more", "why"),
    [
        (None, {"failure": "ran out of memory"}, "ran out of memory"),
        ("L1[WIO] K2 - L0[W] K4", {}, "no mapping of ours: the factors of C"),
        ("L1[WIO] K2 - L0[W] C4 K4", {}, "illegal in our model: .*Reg.capacity_words"),
    ],
)
def test_a_mapping_that_does_not_hold_says_why(tmp_path, text, more, why):
    found = judged(peer(answering(text, **more)), CHIP, LAYER, "edp", tmp_path)
    assert math.isinf(found.value)
    assert re.search(why, found.remark)


def test_a_hierarchy_that_a_peer_cannot_be_told_is_an_answer(tmp_path):
    def refuses(*_, **__):
        raise ArmillaryError("h: too deep")

    assert judged(peer(refuses), CHIP, LAYER, "edp", tmp_path).remark == "h: too deep"


def test_a_peer_that_the_machine_ended_is_said_but_not_kept(tmp_path):
    def is_killed(*_, **__):
        raise AccidentError("ended by SIGKILL")

    assert judged(peer(is_killed), CHIP, LAYER, "edp", tmp_path).remark == "ended by SIGKILL"
    assert not list(tmp_path.iterdir())


def test_the_best_of_all_that_a_peer_is_told_counts_and_is_kept(tmp_path):
    asked = []

    def best_mapping(told, layer, **_):
        asked.append(told.name)
        return answering("L1[WIO] C4 K2 - L0[W] K4" if told.name == "b" else None)()

    def told_as(hierarchy):
        return (hierarchy.model_copy(update={"name": name}) for name in "abc")

    for _ in range(2):
        found = judged(peer(best_mapping, told_as), CHIP, LAYER, "delay", tmp_path)
        assert (found.value, found.seconds) == (32.0, 12.0)
    assert asked == ["a", "b", "c"]
    judged(peer(best_mapping, told_as, version="2"), CHIP, LAYER, "delay", tmp_path)
    assert len(asked) == 6


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mapping_search, "_BUDGET", 200)
    monkeypatch.setattr(
        mapping_search, "_QUICK", dict.fromkeys(mapping_search._QUICK, ("gemm_17", "gemv_4096", "vocabulary"))
    )


def beating(factor, monkeypatch):
    """Let a peer be better than we are by a factor, and networks take no time."""
    names = (*mapping_search.NETWORK_S, "vit_b16_197", "vit_b16_208")
    networks = [mapping_search.Network(CHIP, Workload(name, (LayerUse(LAYER),)), "edp", 1.0, 1.0) for name in names]
    monkeypatch.setattr(mapping_search, "_networks", lambda _: networks)
    real = mapping_search.search
    monkeypatch.setattr(
        mapping_search,
        "judged",
        lambda _, chip, layer, goal, __: mapping_search.Judged(
            real(chip, layer, goal=goal, budget=200, seed=0).value / factor, 1.0
        ),
    )
    monkeypatch.setattr(mapping_search, "peers", lambda: [peer(None)])


@pytest.mark.parametrize(("factor", "ok"), [(1.0005, True), (1.01, False)])
def test_a_peer_that_is_better_fails_the_check(small, monkeypatch, tmp_path, factor, ok):
    beating(factor, monkeypatch)
    result = mapping_search.run(options(tmp_path))
    (check,) = (check for check in result.checks if "Peer" in check.name)
    assert check.value == pytest.approx(factor)
    assert check.ok is ok


def test_without_peers_rows_and_checks_are_ours_and_a_note_tells_how_to_get_them(small, monkeypatch, tmp_path):
    monkeypatch.setattr(mapping_search, "peers", lambda: [peer(None, version=None)])
    result = mapping_search.run(options(tmp_path))
    assert result.notes == ["Peer is not installed: get it."]
    assert not [check for check in result.checks if "Peer" in check.name]
    assert {row["hierarchy"] for row in result.rows} == set(mapping_search._QUICK)
    assert {frozenset(row) for row in result.rows} == {frozenset(result.rows[0])}
    one = next(row for row in result.rows if row["layer"] == "gemm_17" and row["goal"] == "edp")
    assert 150 < one["mappings"] <= 200
    assert one["10 x budget"] <= one["ours"]
    assert not list(tmp_path.iterdir())


def test_a_quick_run_names_layers_that_there_are():
    chosen = {name for names in mapping_search._QUICK.values() for name in names}
    assert chosen <= set(layers())
    assert chosen & set(PRIME)
    assert BENCHES.load("mapping") is mapping_search.run


def test_a_full_run_has_every_layer_and_goal():
    cases = list(mapping_search._cases(quick=False))
    assert len(cases) == 4 * len(layers()) * 3
    assert all(case.compared for case in cases)


def test_the_peers_code_is_part_of_what_an_answer_is_kept_under(tmp_path):
    judged(peer(answering(None)), CHIP, LAYER, "edp", tmp_path)
    (path,) = Path(tmp_path).iterdir()
    assert path.name.startswith("peer-h-l-edp-0-")
