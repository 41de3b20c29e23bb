import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.spaces.moves import Moves, population_size


def test_population_of_the_paper():
    assert population_size(10) == 23  # PRIME, Appendix B.1


def test_codes_and_positions_round_trip():
    codes = SPACE.at(np.arange(0, SPACE.size, SPACE.size // 97))
    moves = Moves(SPACE)
    assert (moves.codes(moves.positions(codes)) == codes).all()


def test_a_firefly_moves_towards_a_better_one():
    moves = Moves(SPACE, noise=1e-9)
    positions = np.stack([np.full(10, 0.2), np.full(10, 0.5)])[None]
    moved = moves.step(positions, np.array([[2.0, 1.0]]), np.random.default_rng(0))[0]
    assert np.linalg.norm(moved[0] - positions[0, 1]) < np.linalg.norm(positions[0, 0] - positions[0, 1])
    assert moved[1] == pytest.approx(positions[0, 1], abs=1e-6)


def test_stays_inside_the_space():
    moves, rng = Moves(SPACE), np.random.default_rng(1)
    positions = moves.scatter((3, 23), rng)
    for _ in range(20):
        positions = moves.step(positions, rng.random((3, 23)), rng)
        codes = moves.codes(positions)
        assert (codes >= 0).all()
        assert (codes < SPACE.cardinalities).all()
