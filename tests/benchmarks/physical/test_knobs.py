from armillary.benchmarks.physical.knobs import row_of


def figures(**changed):
    flat = {name: [2.0, 2.0, 2.0] for name in ("effective_mhz", "power_mw", "area_mm2", "wire_mm")}
    return {**flat, **changed}


def test_an_effect_counts_beside_the_noise_of_seeds():
    base = figures(effective_mhz=[90.0, 100.0, 110.0], power_mw=[99.0, 100.0, 101.0])
    row = row_of("clock_ns", 1.0, 2.0, base, figures(effective_mhz=[95.0, 105.0, 115.0], power_mw=[94.0, 95.0, 96.0]))
    assert row["effective_mhz"] == "+5.0% (10.0%)"
    assert row["power_mw"] == "-5.0% (1.0%)*"
    assert row["wire_mm"] == "+0.0% (0.0%)"
    assert (row["from"], row["to"]) == (1.0, 2.0)


def test_without_a_scatter_every_change_is_clear():
    assert row_of("aim", "speed", "area", figures(), figures(area_mm2=[1.9] * 3))["area_mm2"] == "-5.0% (0.0%)*"
