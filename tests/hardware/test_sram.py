import csv

import numpy as np
import pytest

from armillary.hardware.sram import MOST_BITS, MOST_WORDS, access_ns, area_um2


@pytest.mark.parametrize("seed", range(3))
def test_more_words_or_bits_or_ports_take_more(seed):
    rng = np.random.default_rng(seed)
    words, bits = rng.integers(4, 9000, 200), rng.integers(1, 600, 200)
    areas = area_um2(words, bits, 1)
    assert (area_um2(words + 1, bits, 1) > areas).all()
    assert (area_um2(words, bits + 1, 1) > areas).all()
    assert area_um2(words, bits, 2) == pytest.approx(1.8525 * areas, rel=1e-3)


def test_large_memories_are_several_macros():
    one = area_um2(MOST_WORDS, MOST_BITS, 1)
    assert area_um2(2 * MOST_WORDS, 3 * MOST_BITS, 1) == pytest.approx(6 * one)
    assert access_ns(2 * MOST_WORDS, 3 * MOST_BITS) == access_ns(MOST_WORDS, MOST_BITS)


def test_the_laws_are_as_far_from_the_published_macros_as_they_say(shared_data):
    with (shared_data / "physical" / "fakeram45.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["bits"]) <= MOST_BITS]
    area = [float(area_um2(int(r["words"]), int(r["bits"]), 1)) / float(r["area_um2"]) - 1 for r in rows]
    time = [access_ns(int(r["words"]), int(r["bits"])) / float(r["access_ns"]) - 1 for r in rows]
    assert len(rows) == 19
    assert np.abs(area).mean() == pytest.approx(0.14, abs=0.005)
    assert np.abs(area).max() == pytest.approx(0.37, abs=0.005)
    assert np.abs(time).max() < 0.09
