"""Cores, and what ties their wells."""

from armillary.evaluators.physical.floorplan import tap_count


def test_taps_are_as_many_as_openroad_counts():
    # the cells that global placement has beyond the floorplan's, in OpenROAD-flow-scripts' rows of 2022-08 and 2022-10
    assert tap_count(2 * 49970, 35, 2800, [], 240_000) == 70  # gcd, 49.97 by 49 um
    assert abs(tap_count(2 * 230_000, 164, 2800, [], 240_000) - 411) <= 1  # aes


def test_a_macro_gives_rows_more_ends_and_covers_others():
    ends = 2 * 10
    assert tap_count(1000, 10, 10, [], 0) == ends
    assert tap_count(1000, 10, 10, [(400, 0, 600, 25)], 0) == ends + 2 * 3  # the third row is half covered
    assert tap_count(1000, 10, 10, [(0, 0, 600, 25)], 0) == ends
    assert tap_count(1000, 10, 10, [(0, 0, 1000, 20)], 0) == ends - 2 * 2
