from dataclasses import replace

import pytest

from armillary.cost_model.cost import evaluate
from armillary.evaluators import for_template
from armillary.evaluators.gemmini import layers as layers_module
from armillary.evaluators.gemmini import rtl as rtl_module
from armillary.evaluators.gemmini.layers import best_mapping, mapped, packed
from armillary.evaluators.gemmini.rtl import simulated
from armillary.evaluators.gemmini.simulation import SimulationError
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.hardware.dram import PRESETS
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import SPACE, TEMPLATE, Accelerator, accelerator_of, area_mm2
from armillary.metrics import STALLS
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Fidelity, MappingSearch
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

TINY = Workload(
    "tiny",
    (
        LayerUse(Layer("conv", "conv", K=8, C=3, P=8, Q=8, R=3, S=3, stride_h=2, stride_w=2), count=2),
        LayerUse(Layer("depthwise", "depthwise", K=12, C=12, P=6, Q=6, R=3, S=3, groups=12)),
        LayerUse(Layer("dense", "gemm", K=10, C=12)),
    ),
)
# The contract draws random designs: a space that few simulators serve.
FEW = {"dim": (4,), "scratchpad_kib": (8, 16), "accumulator_kib": (8,), "bus_bytes": (4, 8)}


def few_builds():
    fixed = {p.name: p.values[:1] for p in SPACE.parameters if not p.name.startswith("dram")} | FEW
    return Space("gemmini", tuple(Parameter(p.name, fixed.get(p.name, p.values)) for p in SPACE.parameters))


def evaluator(fidelity=Fidelity.ANALYTICAL, **options):
    return for_template("gemmini", fidelity, options)


class TestAnalytical(EvaluatorContract):
    @pytest.fixture(name="evaluator")
    def made(self):
        return evaluator(budget=200)

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return TINY


class TestRtl(EvaluatorContract):
    @pytest.fixture(name="evaluator")
    def made(self):
        return evaluator(Fidelity.RTL, budget=200)

    @pytest.fixture
    def space(self):
        return few_builds()

    @pytest.fixture
    def workload(self):
        return TINY


def baseline(**changes):
    values = {**TEMPLATE.baseline.as_dict(), **changes}
    return SPACE.design_from(values, "test")


SMALL = {"dim": 4, "bus_bytes": 4, "scratchpad_kib": 8, "accumulator_kib": 8}


FIDELITIES = pytest.mark.parametrize("fidelity", [Fidelity.ANALYTICAL, Fidelity.RTL])


def one(fidelity, workload=TINY, mappings=None, **options):
    """Return the answer on the smallest accelerator."""
    candidate = Candidate(baseline(**SMALL), mappings)
    return evaluator(fidelity, **({"budget": 200} | options)).evaluate([candidate], workload)[0]


def test_rtl_is_slower_than_the_cost_model_and_says_why():
    rtl = one(Fidelity.RTL, budget=10_000)
    bound, physics = (one(Fidelity.ANALYTICAL, budget=10_000, timing=kind) for kind in ("roofline", "physics"))
    assert rtl.feasible
    assert rtl.metrics["delay_cycles"] > bound.metrics["delay_cycles"]
    assert rtl.metrics["delay_cycles"] == pytest.approx(physics.metrics["delay_cycles"], rel=0.1)
    assert rtl.metrics["energy_pj"] == physics.metrics["energy_pj"] == bound.metrics["energy_pj"]
    for measured in (rtl.metrics, *(run.metrics for run in rtl.layers)):
        waits = sum(measured[f"{cause}_stall_cycles"] for cause in STALLS)
        assert measured["busy_cycles"] + waits == measured["delay_cycles"]


def test_both_timings_are_of_the_same_mappings():
    bound, physics = (one(Fidelity.ANALYTICAL, timing=kind) for kind in ("roofline", "physics"))
    for slow, fast in zip(physics.layers, bound.layers, strict=True):
        assert slow.mapping == fast.mapping
        assert slow.metrics["delay_cycles"] > fast.metrics["delay_cycles"]
        work = fast.metrics["utilization"] * fast.metrics["delay_cycles"]
        assert slow.metrics["utilization"] * slow.metrics["delay_cycles"] == pytest.approx(work)
        same = set(slow.metrics) - {"delay_cycles", "utilization"}
        assert {name: slow.metrics[name] for name in same} == {name: fast.metrics[name] for name in same}
    with pytest.raises(ArmillaryError, match=r"option timing='guess' is not allowed: .*'roofline' or 'physics'"):
        evaluator(timing="guess")


def test_the_best_is_chosen_by_the_hardwares_delay():
    layers = [Layer("conv", "conv", K=16, C=16, P=14, Q=14, R=3, S=3), Layer("thin", "conv", K=8, C=4, P=7, Q=7)]
    accelerator = accelerator_of(baseline(**SMALL))
    faster = 0
    for layer in layers:
        for goal in ("delay", "edp"):
            by_bound, by_physics = (
                best_mapping(accelerator, layer, goal=goal, budget=2000, choice=kind)
                for kind in ("roofline", "physics")
            )
            delays = physics_cycles(accelerator, layer, [by_bound, by_physics])
            costs = evaluate(accelerator.hierarchy(), [layer] * 2, [by_bound, by_physics])
            values = delays * (costs.energy_pj.numpy() if goal == "edp" else 1)
            assert values[1] <= values[0]
            faster += values[1] < values[0]
    assert faster > 0


@FIDELITIES
def test_a_network_is_the_sum_of_its_layers_runs(fidelity):
    answer = one(fidelity)
    assert [(run.layer.name, run.runs) for run in answer.layers] == [("conv", 2), ("depthwise", 1), ("dense", 1)]
    for name in ("delay_cycles", "energy_pj", "dram_bytes"):
        assert answer.metrics[name] == pytest.approx(sum(run.runs * run.metrics[name] for run in answer.layers))
    clock_ghz = accelerator_of(answer.design).clock_ghz
    assert answer.metrics["runtime_s"] == pytest.approx(answer.metrics["delay_cycles"] * 1e-9 / clock_ghz)
    work = 2 * TINY.layers[0].layer.macs + TINY.layers[1].layer.macs + TINY.layers[2].layer.macs
    assert answer.metrics["utilization"] == pytest.approx(work / (answer.metrics["delay_cycles"] * 4 * 4))
    for run, use in zip(answer.layers, TINY.layers, strict=True):  # zeros between packed groups are no work
        assert run.metrics["utilization"] == pytest.approx(use.layer.macs / (run.metrics["delay_cycles"] * 4 * 4))


def test_a_layer_by_hand():
    """A product of 16 x 16 by 16 x 32 in weights' tiles of 4 x 4, on both evaluators."""
    workload = Workload("product", (LayerUse(Layer("gemm", "gemm", K=16, C=16, P=32)),))
    given = {"gemm": "L3[WIO] K2 P4 - L2[WI] N1 K4X - L1[O] K2 C4 C4X - L0[W] P8"}
    model, rtl = (one(f, workload, given).layers[0].metrics for f in (Fidelity.ANALYTICAL, Fidelity.RTL))
    assert model["compute_cycles"] == rtl["busy_cycles"] == 16 * 16 * 32 / 16
    # either half of the outputs needs all inputs; weights come once for every tile of rows, as P turns inside K
    assert rtl["dram_bytes"] == 2 * 16 * 32 + 16 * 16 + 16 * 32
    assert model["dram_bytes"] == rtl["dram_bytes"]
    assert rtl["utilization"] == pytest.approx(16 * 16 * 32 / (16 * rtl["delay_cycles"]))


@FIDELITIES
def test_layers_alone_are_those_of_the_network(fidelity):
    candidate = Candidate(baseline(**SMALL))
    layers = [use.layer for use in TINY.layers]
    alone = evaluator(fidelity, budget=200).run_layers([candidate], layers)
    together = one(fidelity).layers
    assert [(run.layer, run.mapping, run.metrics) for run in alone] == [
        (run.layer, run.mapping, run.metrics) for run in together
    ]
    assert [run.runs for run in alone] == [1, 1, 1]


@FIDELITIES
def test_given_mappings_are_run(fidelity):
    found = one(fidelity)
    worst = "L3[WIO] K10 C12 - L2[WI] N1 - L1[O] N1 - L0[W] N1"
    given = one(fidelity, mappings={"dense": worst})
    assert [run.mapping for run in given.layers] == [found.layers[0].mapping, found.layers[1].mapping, worst]
    assert given.layers[2].metrics["delay_cycles"] > found.layers[2].metrics["delay_cycles"]
    assert [run.metrics for run in given.layers[:2]] == [run.metrics for run in found.layers[:2]]
    again = one(fidelity, mappings={run.layer.name: run.mapping for run in found.layers}, budget=1)
    assert again.metrics == found.metrics


@FIDELITIES
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L3[WIO] K9 C12 - L2[WI] N1 - L1[O] N1 - L0[W] N1", "layer dense: the factors of K multiply to 9"),
        ("L1[WIO] K10 - L0[W] C12", "layer dense: the mapping has 2 levels, hierarchy gemmini has 4"),
        ("K10 C12", "'K10' is no level"),
    ],
)
def test_a_mapping_that_is_none_of_its_layer_is_a_wrong_request(fidelity, text, message):
    with pytest.raises(ArmillaryError, match=message):
        one(fidelity, mappings={"dense": text})
    candidate = Candidate(baseline(**SMALL), {"dense": text})
    with pytest.raises(ArmillaryError, match=message):
        evaluator(fidelity).run_layers([candidate], [TINY.layers[2].layer])


@FIDELITIES
def test_a_mapping_that_does_not_fit_is_infeasible(fidelity):
    large = Workload("large", (LayerUse(Layer("gemm", "gemm", K=64, C=64, P=512)),))
    wide = {"gemm": "L3[WIO] N1 - L2[WI] N1 - L1[O] K64 C64 - L0[W] P512"}
    answer = one(fidelity, large, wide)
    assert (answer.failure.kind, answer.failure.resource, answer.failure.layer) == (
        "infeasible", "scratchpad rows", "gemm"
    )  # fmt: skip
    assert answer.failure.needed > answer.failure.available
    assert set(answer.metrics) == {"area_mm2"}
    (run,) = evaluator(fidelity).run_layers([Candidate(baseline(**SMALL), wide)], [large.layers[0].layer])
    assert (run.failure, run.mapping, run.metrics) == (answer.failure, wide["gemm"], {})


@FIDELITIES
def test_tensors_beyond_the_address_are_infeasible(fidelity):
    huge = Workload("huge", (LayerUse(Layer("huge", "conv", N=1 << 17, P=32, Q=32)),))
    mappings = {"huge": f"L3[WIO] N{1 << 17} - L2[WI] N1 - L1[O] N1 - L0[W] P32 Q32"}
    failure = evaluator(fidelity).evaluate([Candidate(TEMPLATE.baseline, mappings)], huge)[0].failure
    assert (failure.kind, failure.resource, failure.layer, failure.available) == (
        "infeasible", "DRAM bytes", "huge", 1 << 32
    )  # fmt: skip
    assert (1 << 32) + 64 < failure.needed < 5 << 30  # inputs and outputs, a row of weights, and the commands


@FIDELITIES
def test_it_searches_its_mappings_itself(fidelity):
    candidate = Candidate(baseline(**SMALL), search=MappingSearch("dabo"))
    message = "evaluator gemmini.* of template 'gemmini' has a mapper of its own, so that 'dabo' cannot search"
    with pytest.raises(ArmillaryError, match=message):
        evaluator(fidelity).evaluate([candidate], TINY)
    with pytest.raises(ArmillaryError, match=message):
        evaluator(fidelity).run_layers([candidate], [TINY.layers[0].layer])


@FIDELITIES
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budgt": 5}, r"option 'budgt' is unknown; it has \['budget', .*'goal'"),
        ({"budget": "many"}, r"option budget='many' is not allowed: .*integer"),
        ({"budget": 0}, r"option budget=0 is not allowed: .*greater than or equal to 1"),
        ({"goal": "speed"}, r"option goal='speed' is not allowed: .*'edp', 'delay' or 'energy'"),
        ({"goal": "speed", "budget": 0}, r"option budget=0 .*; option goal='speed'"),
    ],
)
def test_options_are_checked(fidelity, options, message):
    with pytest.raises(ArmillaryError, match=rf"evaluator gemmini.*: {message}"):
        evaluator(fidelity, **options)


def test_options_are_recorded_with_their_defaults():
    assert one(Fidelity.ANALYTICAL, goal="delay").options == {
        "budget": 200,
        "choice": "roofline",
        "goal": "delay",
        "timing": "physics",
    }
    spec = evaluator(Fidelity.RTL, full=True).spec
    assert spec.options == {
        "budget": 10_000,
        "goal": "edp",
        "choice": "roofline",
        "full": True,
        "most_cycles": 2_000_000_000,
        "dram": "simple",
    }


def test_a_kind_of_dram_is_chosen_and_its_energy_told():
    layer = Layer("conv", "conv", K=16, C=16, P=14, Q=14)
    workload = Workload("one", (LayerUse(layer),))
    plain, banked = (one(Fidelity.RTL, workload, **options).metrics for options in ({}, {"dram": "ddr4-2400"}))
    assert "dram_energy_pj" not in plain
    assert banked["dram_energy_pj"] > 0
    assert banked["delay_cycles"] != plain["delay_cycles"]
    with pytest.raises(ArmillaryError, match=r"option dram='ddr9' .*choose one of \['simple', 'ddr4-2400'"):
        evaluator(Fidelity.RTL, dram="ddr9")


def test_a_layer_beyond_the_drams_capacity_is_infeasible_and_the_others_run(monkeypatch):
    layers = [Layer("small", "conv", K=16, C=16, P=4, Q=4), Layer("large", "conv", K=64, C=64, P=64, Q=64)]
    tiny = replace(PRESETS["ddr4-2400"], rows=1)
    assert tiny.capacity_bytes < 64 * 64 * 128
    monkeypatch.setitem(PRESETS, "ddr4-2400", tiny)
    ran = evaluator(Fidelity.RTL, dram="ddr4-2400").run_layers([Candidate(TEMPLATE.baseline)], layers)
    assert ran[0].failure is None
    assert (ran[1].failure.resource, ran[1].failure.layer) == ("DRAM bytes", "large")


def test_options_decide():
    layer = Layer("conv", "conv", K=16, C=16, P=14, Q=14, R=3, S=3)
    workload = Workload("one", (LayerUse(layer),))

    def roofline(**options):  # which the search minimises
        return one(Fidelity.ANALYTICAL, workload, timing="roofline", **options).metrics

    by_goal = {goal: roofline(goal=goal, budget=2000) for goal in ("delay", "energy")}
    assert by_goal["delay"]["delay_cycles"] <= by_goal["energy"]["delay_cycles"]
    assert by_goal["energy"]["energy_pj"] <= by_goal["delay"]["energy_pj"]
    few, many = (roofline(budget=n) for n in (20, 2000))
    assert many["energy_pj"] * many["delay_cycles"] < few["energy_pj"] * few["delay_cycles"]


def test_every_multiplier_or_a_model_of_them_gives_the_same():
    fast, full = (one(Fidelity.RTL, full=full) for full in (False, True))
    assert (fast.metrics, fast.options["full"]) == (full.metrics, False)
    assert full.options["full"]


def test_a_bus_wider_than_a_row_is_infeasible():
    answer = evaluator().evaluate([Candidate(baseline(dim=4, bus_bytes=8))], TINY)[0]
    assert not answer.feasible
    assert str(answer.failure) == "row bytes needs 8, has 4"
    runs = evaluator().run_layers([Candidate(baseline(dim=4, bus_bytes=8))], [use.layer for use in TINY.layers])
    assert [str(run.failure) for run in runs] == ["row bytes needs 8, has 4"] * 3


@FIDELITIES
def test_a_memory_with_no_more_rows_than_banks_is_infeasible(fidelity, monkeypatch):
    # no design of the space is one, so the space's design stands for it
    monkeypatch.setattr(
        layers_module, "accelerator_of", lambda _: Accelerator(dim=32, accumulator_kib=1, accumulator_banks=8)
    )
    answer = evaluator(fidelity).evaluate([Candidate(TEMPLATE.baseline)], TINY)[0]
    assert (answer.failure.kind, str(answer.failure)) == ("infeasible", "accumulator rows needs 9, has 8")


def test_a_simulation_past_its_bound_ends_without_a_result():
    with pytest.raises(SimulationError, match="layer conv: not done after 10 cycles") as fault:
        one(Fidelity.RTL, most_cycles=10)
    assert isinstance(fault.value, TimeoutError)


def test_equal_layers_are_simulated_once(monkeypatch):
    accelerator = accelerator_of(baseline(**SMALL))
    runs = mapped(accelerator, TINY.layers, budget=200)
    jobs = []
    simulate_all = rtl_module.simulate_all
    monkeypatch.setattr(rtl_module, "simulate_all", lambda of, asked: jobs.extend(asked) or simulate_all(of, asked))
    found = simulated(accelerator, [*runs, *runs])
    assert len(jobs) == 3
    assert [result.cycles for result in found[:3]] == [result.cycles for result in found[3:]]
    assert len({result.cycles for result in found}) == 3


@FIDELITIES
def test_explained_parts_add_up(fidelity):
    answer = one(fidelity)
    parts = evaluator(fidelity).explain(answer, TINY)
    assert sum(c.delay_cycles for c in parts.layers) == answer.metrics["delay_cycles"]
    assert sum(c.energy_pj for c in parts.layers) == pytest.approx(answer.metrics["energy_pj"])
    assert sum(parts.energy_parts_pj.values()) == pytest.approx(answer.metrics["energy_pj"])
    assert sum(parts.area_parts_mm2.values()) == pytest.approx(answer.metrics["area_mm2"])
    assert [c.macs for c in parts.layers] == [use.macs for use in TINY.layers]
    assert [c.mapping for c in parts.layers] == [run.mapping for run in answer.layers]
    clock_hz = answer.metrics["delay_cycles"] / answer.metrics["runtime_s"]
    assert parts.rates.clock_hz == pytest.approx(clock_hz)
    assert parts.rates.macs_per_s == pytest.approx(16 * clock_hz)
    assert parts.rates.dram_bytes_per_s == pytest.approx(4 * clock_hz)  # the bus, which is as wide as the array


@pytest.mark.parametrize(
    ("layer", "dim", "groups"),
    [
        (Layer("depthwise", "depthwise", K=96, C=96, P=4, groups=96), 16, 6),
        (Layer("depthwise", "depthwise", K=90, C=90, P=4, groups=90), 16, 6),
        (Layer("grouped", "conv", K=64, C=32, P=4, groups=8), 16, 4),
        (Layer("conv", "conv", K=64, C=32, P=4), 16, 1),
        (Layer("wide", "conv", K=64, C=64, P=4, groups=2), 16, 2),
    ],
)
def test_groups_share_the_array_as_far_as_they_fit(layer, dim, groups):
    found = packed(layer, dim)
    assert found.groups == groups
    assert (found.K, found.C, found.outputs) == (layer.K, layer.C, layer.outputs)
    assert max(found.K, found.C) // groups <= max(dim, max(layer.K, layer.C) // layer.groups)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "unet"])
def test_every_layer_of_a_network_gets_a_mapping_that_compiles(name, dataflow):
    accelerator = Accelerator(dataflow=dataflow)
    for run in mapped(accelerator, zoo.build(name).layers, budget=300):
        assert compile_layer(run.layer, run.mapping, accelerator).tiles >= 1


def test_few_channels_take_whole_rows_and_still_fit():
    layer = Layer("first", "conv", K=64, C=3, P=112, Q=112, R=7, S=7, stride_h=2, stride_w=2)
    small = Accelerator(scratchpad_kib=8, accumulator_kib=8)
    assert compile_layer(layer, best_mapping(small, layer, budget=1000), small).tiles > 1


@pytest.mark.parametrize("seed", range(3))
def test_areas_grow_with_every_knob_that_costs(seed):
    codes = sample(SPACE, 50, "random", seed)
    areas = area_mm2(codes)
    for name in ("dim", "scratchpad_kib", "accumulator_kib", "bus_bytes", "scratchpad_banks", "accumulator_banks",
                 "outstanding", "queue_depth"):  # fmt: skip
        at = SPACE.names.index(name)
        larger = codes[codes[:, at] < SPACE.cardinalities[at] - 1]
        larger[:, at] += 1
        assert (area_mm2(larger) > areas[codes[:, at] < SPACE.cardinalities[at] - 1]).all(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 5}, "dim=5 is not allowed; it must be even"),
        ({"dataflow": "none"}, "dataflow='none' is not allowed"),
        ({"scratchpad_banks": 3}, "scratchpad_banks=3 is not allowed"),
        ({"bus_bytes": 32}, "bus_bytes=32 is not allowed; it must be at most 16"),
        ({"queue_depth": 0}, "queue_depth=0 is not allowed"),
        ({"dim": 16.0}, "dim=16.0 is not allowed; it must be an integer"),
        ({"queue_depth": True}, "queue_depth=True is not allowed; it must be an integer"),
    ],
)
def test_accelerators_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ArmillaryError, match=message):
        Accelerator(**changes)


def test_the_baseline_is_gemminis_default():
    assert accelerator_of(TEMPLATE.baseline) == Accelerator()


def test_few_requests_under_way_cannot_use_all_of_the_bandwidth():
    def read_bandwidth(**changes):
        return Accelerator(**changes).hierarchy().levels[0].read_bandwidth

    # a burst of 16 rows of 16 bytes at 16 bytes per cycle comes back after 50 + 16 cycles
    assert read_bandwidth(outstanding=1) == pytest.approx(256 / 66)
    assert read_bandwidth(outstanding=4) == pytest.approx(4 * 256 / 66)
    assert read_bandwidth(outstanding=5) == 16.0
    assert read_bandwidth(outstanding=1, dram_latency=0) == pytest.approx(16.0)
    assert read_bandwidth(outstanding=1, dram_latency=500, burst_rows=64) == pytest.approx(1024 / 564)
