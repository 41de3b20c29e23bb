"""The graph network as a member, and the surrogate that has it, on layouts of a made-up back end."""

import numpy as np
import pytest
import torch

from armillary.log.store import InMemoryLog
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson
from armillary.surrogates.ppa import gcn
from armillary.surrogates.ppa.forests import RandomizedForest
from armillary.surrogates.ppa.gcn import GraphBatch, GraphNetwork, Network
from armillary.surrogates.ppa.graph import FEATURES, Architectures
from armillary.surrogates.ppa.graph_surrogate import KIND, GraphPpa
from armillary.testing.surrogates import SavableContract, SurrogateContract
from armillary.types import ArmillaryError
from armillary.workloads.context import OwnContext
from surrogates.ppa.layouts import ARCHITECTURE, PROBLEM, SPACE, drawn, power_mw, rows_of


@pytest.fixture(autouse=True, scope="module")
def brief():
    """Few steps, and of the other members, which are tested with the ensemble, one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcn, "_STEPS", 120)
        patch.setattr(gcn, "NETWORKS", 2)
        patch.setattr(GraphPpa, "members", (RandomizedForest, GraphNetwork))
        yield


def lesson_of(codes):
    points = Points(codes, np.empty((len(codes), 0)))
    targets = np.log(power_mw(codes))
    scale = targets.mean(), targets.std()
    encoding = Encoding.of(SPACE, (), False, points)
    return encoding, Lesson(points, (targets - scale[0]) / scale[1], np.zeros(len(codes)), points[:0]), scale


@pytest.fixture(scope="module")
def learned():
    encoding, lesson, scale = lesson_of(drawn(24, 8, seed=0))
    return encoding, GraphNetwork.learned(encoding, lesson, 0), scale, lesson


def test_tells_architectures_that_it_has_not_seen_better_than_trees(learned):
    encoding, network, (location, spread), lesson = learned
    codes = drawn(20, 4, seed=7)
    seen = {tuple(row) for row in lesson.points.codes[:, : len(ARCHITECTURE)].tolist()}
    codes = codes[[tuple(row) not in seen for row in codes[:, : len(ARCHITECTURE)].tolist()]]
    asked, truth = Points(codes, np.empty((len(codes), 0))), np.log(power_mw(codes))
    trees = RandomizedForest.learned(encoding, lesson, 0)
    off = [np.abs(location + spread * member.predict(asked)[0] - truth).mean() for member in (network, trees)]
    assert off[0] < 0.5 * off[1]
    assert off[0] < 0.15


def test_says_of_the_folded_graph_what_it_says_of_one_with_a_node_for_each_instance():
    graphs, _ = Architectures.of(SPACE).graphs(drawn(3, 1, seed=1))
    assert any((graph.times > 1).any() for graph in graphs) or len(graphs) == 3
    zero, one = np.zeros(2 * len(FEATURES)), np.ones(2 * len(FEATURES))
    torch.manual_seed(0)
    network = Network(2)
    with torch.inference_mode():
        folded, expanded = (
            network.embedded(GraphBatch(some, zero, one)) for some in (graphs, [graph.expanded() for graph in graphs])
        )
    torch.testing.assert_close(folded, expanded)


def test_knobs_count(learned):
    _, network, (location, spread), _ = learned
    codes = np.repeat(drawn(1, 1, seed=3), 5, axis=0)
    codes[:, SPACE.names.index("clock_ns")] = np.arange(5)
    said = location + spread * network.predict(Points(codes, np.empty((5, 0))))[0]
    assert (np.diff(said) < 0).all()


def test_a_member_comes_back_from_its_parts(learned):
    encoding, network, _, lesson = learned
    again = GraphNetwork.of(encoding, *network.parts())
    for one, other in zip(again.predict(lesson.points[:9]), network.predict(lesson.points[:9]), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_all_members_are_told_the_sums_of_the_graph():
    codes = drawn(4, 2, seed=2)
    space = GraphPpa.described(SPACE)
    assert space == SPACE  # of which derived quantities are no part
    assert space.derived is not None
    graphs, which = Architectures.of(SPACE).graphs(codes)
    assert (space.derived(codes, {}) == np.log2(1 + np.stack([graph.totals for graph in graphs]))[which]).all()


def test_a_space_without_rtl_is_refused_before_anything_is_learned():
    from armillary.hardware.templates.edge_tpu import SPACE as EDGE_TPU

    with pytest.raises(ArmillaryError, match="edge_tpu"):
        GraphPpa(space=EDGE_TPU)


@pytest.mark.slow
class TestGraphPpa(SurrogateContract, SavableContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: GraphPpa(space=SPACE, seed=seed, apart=ARCHITECTURE).fit(log, problem)

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return KIND

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls):
        return PROBLEM

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls):
        return InMemoryLog(rows_of(drawn(16, 8, seed=0)))

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls):
        return rows_of(drawn(8, 8, seed=5))

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls):
        return OwnContext({}, "svm")
