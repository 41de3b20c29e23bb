import pytest

from armillary.cost_model import evaluate
from armillary.evaluators import for_template
from armillary.evaluators.spotlight import map_network
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.spotlight import CLOUD, EDGE, TEMPLATE, chip_of
from armillary.mapping.spotlight.mappers import MAPPERS
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import EvaluatorContract, told
from armillary.types import ArmillaryError, Candidate, Fidelity, MappingSearch
from armillary.workloads.layer import Layer, LayerUse, Workload

CONV = Layer("conv", "conv", K=16, C=8, P=14, Q=14, R=3, S=3)
SMALL = Workload("small", (LayerUse(CONV, count=2, weight_sets=2), LayerUse(Layer("dense", "gemm", K=40, C=24, P=6))))
WORST = "L2[WIO] N1 K16 C8 P14 Q14 R3 S3 - L1[WIO] N1 - L0[WIO] N1"


def evaluator(template="spotlight", *, seed=0, **options):
    return for_template(template, Fidelity.ANALYTICAL, {"samples": 100} | options, seed=seed)


def designs(count, seed=0):
    return EDGE.designs(sample(EDGE, count, "random", seed))


def one(mappings=None, search=None, workload=SMALL, **options):
    return evaluator(**options).evaluate([Candidate(TEMPLATE.baseline, mappings, search)], workload)[0]


class TestSpotlight(EvaluatorContract):
    @pytest.fixture(name="evaluator")
    def made(self):
        return evaluator()

    @pytest.fixture
    def space(self):
        return EDGE

    @pytest.fixture
    def workload(self):
        return SMALL


class TestCloud(TestSpotlight):
    @pytest.fixture(name="evaluator")
    def made(self):
        return evaluator("spotlight_cloud")

    @pytest.fixture
    def space(self):
        return CLOUD


@pytest.mark.parametrize("mapper", ["thorough", "dabo", "exact"])
def test_an_answer_does_not_depend_on_what_was_evaluated_before(mapper):
    """Warm searches begin where their candidate says, and nowhere else."""
    first, *others = designs(4)
    fresh = evaluator(mapper=mapper, samples=30).evaluate([Candidate(first)], SMALL)[0]
    used = evaluator(mapper=mapper, samples=30)
    used.evaluate([Candidate(design) for design in others], SMALL)
    used.evaluate([Candidate(first, search=MappingSearch("random"))], SMALL)
    again = used.evaluate([Candidate(first)], SMALL)[0]
    assert told(again) == told(fresh)
    assert [run.mapping for run in again.layers] == [run.mapping for run in fresh.layers]


def test_a_network_is_the_sum_of_its_layers_under_their_mappings():
    answer = one()
    chip = chip_of(TEMPLATE.baseline)
    delay = energy = 0.0
    for run, use in zip(answer.layers, SMALL.layers, strict=True):
        costs = evaluate(chip.hierarchy(), use.layer, Mapping.parse(run.mapping))
        assert (run.layer, run.layer.name, run.runs) == (use.layer, use.layer.name, use.count)
        assert run.metrics["delay_cycles"] == float(costs.delay_cycles[0])
        assert run.metrics["energy_pj"] == float(costs.energy_pj[0])
        delay += use.count * run.metrics["delay_cycles"]
        energy += use.count * run.metrics["energy_pj"]
    assert answer.metrics["delay_cycles"] == pytest.approx(delay)
    assert answer.metrics["energy_pj"] == pytest.approx(energy)
    assert answer.metrics["runtime_s"] == pytest.approx(delay * 1e-9)  # at 1 GHz
    assert answer.metrics["area_mm2"] == chip.area_mm2
    assert answer.metrics["dram_bytes"] == pytest.approx(sum(r.runs * r.metrics["dram_bytes"] for r in answer.layers))


def test_mappings_that_are_given_are_evaluated():
    found, given = one(), one({"conv": WORST})
    assert given.layers[0].mapping == WORST
    costs = evaluate(chip_of(TEMPLATE.baseline).hierarchy(), CONV, Mapping.parse(WORST))
    assert given.layers[0].metrics["delay_cycles"] == float(costs.delay_cycles[0])
    assert given.metrics["delay_cycles"] > found.metrics["delay_cycles"]
    both = one({run.layer.name: run.mapping for run in found.layers}, samples=1)
    assert both.metrics == found.metrics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WORST.replace("K16", "K15"), "layer conv: the factors of K multiply to 15, layer conv has K=16"),
        ("L1[WIO] K16 - L0[WIO] C8", "layer conv: the mapping has 2 levels"),
        ("K16", "'K16' is no level"),
    ],
)
def test_a_mapping_that_is_none_of_its_layer_is_a_wrong_request(text, message):
    with pytest.raises(ArmillaryError, match=message):
        one({"conv": text})


def test_a_mapping_that_does_not_fit_is_infeasible():
    large = Workload("large", (LayerUse(Layer("conv", "conv", K=512, C=512, P=56, Q=56)),))
    inside = "L2[WIO] N1 - L1[WIO] K512 C512 P56 Q56 - L0[WIO] N1"
    answer = one({"conv": inside}, workload=large)
    assert (answer.failure.kind, answer.failure.layer) == ("infeasible", "conv")
    assert answer.failure.needed > answer.failure.available
    assert set(answer.metrics) == {"area_mm2"}


def test_a_candidate_says_how_its_mappings_are_searched():
    mapped = [one(search=MappingSearch(name)) for name in ("random", "dabo")]
    assert mapped[0].metrics["delay_cycles"] != mapped[1].metrics["delay_cycles"]
    assert told(mapped[0]) == told(one(mapper="random"))
    with pytest.raises(ArmillaryError, match="mapper 'luck' is unknown"):
        one(search=MappingSearch("luck"))


def test_a_warm_search_begins_with_the_mappings_of_its_candidate():
    good = one(samples=3000)
    starts = {run.layer.name: (run.mapping,) for run in good.layers}
    cold, warm = (one(search=MappingSearch("exact", begin), samples=1) for begin in ({}, starts))
    assert [run.mapping for run in warm.layers] == [run.mapping for run in good.layers]
    assert (
        cold.metrics["energy_pj"] * cold.metrics["delay_cycles"]
        > good.metrics["energy_pj"] * (good.metrics["delay_cycles"])
    )


def test_layers_alone_are_mapped_each_for_itself():
    candidates = [Candidate(design) for design in designs(2)]
    layers = [use.layer for use in SMALL.layers]
    runs = evaluator(goal="delay").run_layers(candidates, layers)
    assert [(run.design, run.layer.name) for run in runs] == [(c.design, x.name) for c in candidates for x in layers]
    for run in runs:
        (alone,) = evaluator(goal="delay").run_layers([Candidate(run.design)], [run.layer])
        assert alone == run


def test_equal_layers_are_mapped_once():
    twice = (LayerUse(CONV, 2, 2), LayerUse(Layer("again", **{n: getattr(CONV, n) for n in ("kind", *"KCPQRS")}), 3, 3))
    found = map_network(chip_of(TEMPLATE.baseline), twice, mapper=MAPPERS.load("random"), goal="edp")
    assert (found.layers, found.runs, len(found.best)) == ((CONV,), (5,), 1)
    answer = one(workload=Workload("twice", twice))
    assert answer.layers[0].mapping == answer.layers[1].mapping
    assert [run.runs for run in answer.layers] == [2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mappr": "dabo"}, r"option 'mappr' is unknown; it has \['goal', 'mapper', 'samples'\]"),
        ({"mapper": "luck"}, r"mapper 'luck' is unknown; choose one of \['dabo'"),
        ({"goal": "speed"}, r"option goal='speed' is not allowed: .*'edp', 'delay' or 'energy'"),
        ({"samples": -1}, r"option samples=-1 is not allowed: .*greater than or equal to 0"),
        ({"samples": "many"}, r"option samples='many' is not allowed: .*integer"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ArmillaryError, match=message):
        evaluator(**options)


def test_options_are_recorded_and_decide():
    delay, energy = (one(goal=goal) for goal in ("delay", "energy"))
    assert delay.options == {"mapper": "thorough", "goal": "delay", "samples": 100}
    assert delay.metrics["delay_cycles"] < energy.metrics["delay_cycles"]
    assert energy.metrics["energy_pj"] < delay.metrics["energy_pj"]


def test_the_same_seed_gives_the_same_mappings():
    first, again, other = (one(seed=seed, mapper="random", samples=10) for seed in (1, 1, 2))
    assert told(first) == told(again)
    assert first.seed == 1
    assert first.metrics != other.metrics


def test_explained_parts_add_up():
    answer = one()
    parts = evaluator().explain(answer, SMALL)
    assert sum(c.delay_cycles for c in parts.layers) == pytest.approx(answer.metrics["delay_cycles"])
    assert sum(parts.energy_parts_pj.values()) == pytest.approx(answer.metrics["energy_pj"])
    assert sum(parts.area_parts_mm2.values()) == pytest.approx(answer.metrics["area_mm2"])
    assert [c.mapping for c in parts.layers] == [run.mapping for run in answer.layers]
    assert [c.macs for c in parts.layers] == [use.macs for use in SMALL.layers]
    chip = chip_of(TEMPLATE.baseline)
    assert parts.rates.macs_per_s == chip.pes * chip.simd_lanes * 1e9
