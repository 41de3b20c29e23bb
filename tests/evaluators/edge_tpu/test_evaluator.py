"""The tensor code against a slow model of one design and one layer at a time, and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.evaluators import for_template
from armillary.evaluators.edge_tpu import evaluator as module
from armillary.evaluators.edge_tpu.compiler import INVOCATION_S
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.technology import DRAM_PJ_PER_BIT
from armillary.hardware.templates.edge_tpu import EDGE_TPU, MAX_AREA_MM2, SPACE, area_mm2
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import EvaluatorContract
from armillary.types import ArmillaryError, Candidate, Cost, EvaluatesBatches, EvaluatesLayers, Fidelity, MappingSearch
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from armillary.workloads.layer import Layer, LayerUse, Workload, merge

CLOCK = 800e6


def candidates(designs):
    return [Candidate(design) for design in designs]


class TestEdgeTpu(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return EdgeTpuEvaluator()

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture(params=["mobilenet_v2", "unet", "t_rnn_enc", "bert"])
    def workload(self, request):
        return zoo.build(request.param)

    @pytest.fixture
    def laws(self):
        return {"area_mm2": area_mm2}


def slow_model(design, workload):
    """Return (feasible, cycles, dram_bytes) of one design, layer by layer, mapping by mapping."""
    d = design.as_dict()
    pes = d["pes_x"] * d["pes_y"]
    share = min(d["pe_memory_bytes"] // 2, 2**20)
    keeps = pes * (d["pe_memory_bytes"] - share)
    activation, parameter = 16 * d["activation_memory_entries"], 16 * d["parameter_memory_entries"]
    dram = d["dram_bandwidth_gbps"] * 1e9 / 8 / CLOCK
    wait = 75e-9 * CLOCK
    resident = workload.parameters <= keeps
    cycles, dram_bytes = INVOCATION_S * CLOCK + issue(workload), 0.0
    for position, use in enumerate(workload.layers):
        best = None
        for roles in range(8):
            cost = slow_layer(d, use.layer, roles, (pes, share, activation, parameter, dram, wait, resident))
            if cost is not None and position in (0, len(workload.layers) - 1):
                cost = slow_layer(
                    d, use.layer, roles, (pes, share, activation, parameter, dram, wait, resident),
                    edges=(position == 0, position == len(workload.layers) - 1),
                )  # fmt: skip
            if cost is not None and (best is None or cost[0] < best[0]):
                best = cost
        if best is None:
            return False, None, None
        cycles += use.count * best[0]
        dram_bytes += use.count * best[1]
    missing = max(0, context_of(workload).instruction_bytes - 16 * d["instruction_memory_entries"])
    cycles += missing * (1 / dram + wait / 64)
    return True, math.ceil(cycles), dram_bytes + missing


def issue(workload):
    """Return the cycles of issuing a program, ten per entry of 16 bytes."""
    once = sum(use.weight_sets * size(use.layer) for use in workload.layers)
    every_run = sum(use.count * size(use.layer) for use in workload.layers)
    return 10 / 16 * every_run * (1 if workload.program_bytes is None else workload.program_bytes / once)


def size(x):
    return {"conv": 4750 + 8 * x.K, "depthwise": 8 * x.K, "gemm": 50800}[x.kind]


def slow_layer(d, x, roles, chip, edges=(False, False)):
    """Return (cycles, dram bytes) of a layer on one mapping, None where it is not legal."""
    pes, share, activation, parameter, dram, wait, resident = chip
    to_k = {"x": bool(roles & 4), "y": bool(roles & 2), "cores": bool(roles & 1)}
    window = x.C // x.groups * x.R * x.S
    rows = math.ceil(x.N * x.P / (1 if to_k["x"] else d["pes_x"]))
    columns = math.ceil(x.Q / (1 if to_k["y"] else d["pes_y"]))
    pe_k = math.ceil(x.K / ((d["pes_x"] if to_k["x"] else 1) * (d["pes_y"] if to_k["y"] else 1)))
    core_k = math.ceil(pe_k / (d["cores"] if to_k["cores"] else 1))
    core_rows = math.ceil(rows / (1 if to_k["cores"] else d["cores"]))
    reduction = x.R * x.S * math.ceil(x.C // x.groups / 4) if x.groups > 1 else x.R * math.ceil(x.S * x.C / 4)
    compute = core_rows * columns * math.ceil(core_k / d["lanes"]) * reduction
    strips = math.ceil((x.inputs + x.outputs) / (pes * share))
    line_buffer = 2 * window if strips <= 1 else 2 * x.C * x.input_width * x.R
    channels = pe_k * x.C / x.K if x.groups > 1 else x.C
    halo = x.R * max((x.S - 1) * x.dilation_w + 1 - x.stride_w, 0)
    strip = channels * (columns * x.R * x.stride_w + halo) + columns * pe_k
    if (
        line_buffer > activation
        or min(core_k, d["lanes"]) * window > parameter
        or min(core_k, 2 * d["lanes"]) * window > d["core_memory_bytes"]
        or strip > share
    ):
        return None
    parts = math.ceil(core_k * window / d["core_memory_bytes"])
    found = []
    for weight_reads, input_reads in ((strips if parts > 1 else 1, 1), (1, 1 if strips <= 1 else parts)):
        streamed = 0 if resident else x.weights * weight_reads
        inputs = x.inputs * input_reads
        rows_again = max(x.inputs, x.N * x.P * x.C * x.input_width * x.R)
        sent = (x.inputs if 2 * x.C * x.input_width * x.R <= activation else rows_again) * input_reads
        moved = inputs + x.outputs if strips > 1 else edges[0] * x.inputs + edges[1] * x.outputs
        dram_cycles = streamed * (1 / dram + wait / (parameter / 2)) + moved * (1 / dram + wait / (activation / 2))
        buses = (sent + x.outputs) / min(4 * d["pes_y"], 32)
        overlapped = max(dram_cycles, pe_k * window * weight_reads / 16)
        fixed = 200 + 2 * pes + core_rows * columns * core_k
        found.append((buses + overlapped, fixed + buses + max(compute, overlapped), streamed + moved))
    _, cycles, moved = min(found, key=lambda order: order[0])
    return cycles, moved


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "m4_like", "unet", "t_rnn_dec", "retinanet"])
def test_equals_the_slow_model(name):
    workload = zoo.build(name)
    codes = sample(SPACE, 600, "random", 11)
    codes = codes[area_mm2(codes) <= MAX_AREA_MM2][:60]
    feasible = 0
    for answer in EdgeTpuEvaluator().evaluate(candidates(SPACE.designs(codes)), workload):
        legal, cycles, dram_bytes = slow_model(answer.design, workload)
        assert answer.feasible == legal, answer.failure
        if legal:
            feasible += 1
            assert answer.metrics["delay_cycles"] == pytest.approx(cycles, abs=1)
            assert answer.metrics["dram_bytes"] == pytest.approx(dram_bytes, rel=1e-9)
    assert feasible > 5


def random_layer(rng, number):
    """Return a convolution, plain, grouped or depthwise, or a matrix product, of any shape."""
    kind = rng.choice(["conv", "grouped", "depthwise", "gemm"])
    k, c, p, q = (int(2 ** rng.uniform(0, top)) for top in (10, 10, 7, 7))
    if kind == "gemm":
        return Layer(f"l{number}", "gemm", K=k, C=c, P=p)
    groups = {"conv": 1, "grouped": int(rng.choice([2, 4])), "depthwise": c}[str(kind)]
    if kind == "depthwise":
        k = c * int(rng.choice([1, 2]))
    else:
        k, c = k * groups, c * groups
    r, s = (int(rng.choice([1, 3, 5, 7])) for _ in range(2))
    stride, dilation = (int(rng.choice([1, 2])) for _ in range(2))
    return Layer(
        f"l{number}", "depthwise" if kind == "depthwise" else "conv", N=int(rng.choice([1, 3])), K=k, C=c, P=p, Q=q,
        R=r, S=s, stride_h=stride, stride_w=stride, dilation_h=dilation, dilation_w=dilation, groups=groups,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_slow_model_on_layers_of_any_shape(seed):
    rng = np.random.default_rng(seed)
    uses = tuple(LayerUse(random_layer(rng, i), int(rng.integers(1, 4))) for i in range(int(rng.integers(1, 4))))
    workload = Workload("random", uses)
    codes = sample(SPACE, 40, "random", seed)
    codes = codes[area_mm2(codes) <= MAX_AREA_MM2][:8]
    for answer in EdgeTpuEvaluator().evaluate(candidates(SPACE.designs(codes)), workload):
        legal, cycles, dram_bytes = slow_model(answer.design, workload)
        assert answer.feasible == legal, answer.failure
        if legal:
            assert answer.metrics["delay_cycles"] == pytest.approx(cycles, abs=1)
            assert answer.metrics["dram_bytes"] == pytest.approx(dram_bytes, rel=1e-9)


codes_strategy = st.tuples(*(st.integers(0, n - 1) for n in SPACE.cardinalities)).map(np.array)


@settings(max_examples=60, deadline=None)
@given(codes_strategy)
def test_more_dram_bandwidth_is_never_slower(code):
    batch = np.repeat(code[None], 6, axis=0)
    batch[:, -1] = np.arange(6)
    rows = EdgeTpuEvaluator().evaluate_codes(batch, zoo.build("mobilenet_v2"))
    assert len(set(rows.feasible.tolist())) == 1
    if rows.feasible[0]:
        assert (np.diff(rows.metrics["runtime_s"]) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(codes_strategy)
def test_no_design_beats_its_peak_rates(code):
    workload = zoo.build("resnet18")
    rows = EdgeTpuEvaluator().evaluate_codes(code[None], workload)
    if rows.feasible[0]:
        macs_per_s = np.prod([rows.design[n][0] for n in ("pes_x", "pes_y", "cores", "lanes")]) * 4 * CLOCK
        seconds = rows.metrics["runtime_s"][0]
        fixed_s = INVOCATION_S + issue(workload) / CLOCK
        assert seconds >= fixed_s + workload.macs / macs_per_s
        assert seconds >= fixed_s + rows.metrics["dram_bytes"][0] / (rows.design["dram_bandwidth_gbps"][0] / 8e-9)
        assert 0 < rows.metrics["utilization"][0] <= 1


def test_parameters_that_do_not_fit_stream_in_every_inference():
    workload = zoo.build("t_rnn_enc")
    small = EDGE_TPU  # half of its PE memories: 16 MiB, the parameters: 21.5 MiB
    large = SPACE.design_from(EDGE_TPU.as_dict() | {"pe_memory_bytes": 4 * 2**20}, "test")
    streamed, resident = EdgeTpuEvaluator().evaluate(candidates([small, large]), workload)
    weights = sum(use.count * use.layer.weights for use in workload.layers)
    assert streamed.metrics["dram_bytes"] - resident.metrics["dram_bytes"] == weights
    assert streamed.metrics["runtime_s"] > 4 * resident.metrics["runtime_s"]


def pe_memories(pes_x, pes_y, pe_memory_bytes):
    changed = {"pes_x": pes_x, "pes_y": pes_y, "pe_memory_bytes": pe_memory_bytes, "core_memory_bytes": 2**17}
    return SPACE.design_from(EDGE_TPU.as_dict() | changed, "test")


def test_activations_keep_half_of_a_pe_memory_and_at_most_a_mebibyte():
    """Published latencies: 32 MiB in memories of 2 and 1 MiB do not hold t-RNN Dec, 48 MiB hold t-RNN Enc; and larger
    memories hold both in 32 MiB, or the areas of PRIME's Table 14 would not suffice."""
    dec, enc = zoo.build("t_rnn_dec"), zoo.build("t_rnn_enc")

    def holds(design, workload):
        (row,) = EdgeTpuEvaluator().evaluate([Candidate(design)], workload)
        return row.metrics["dram_bytes"] < workload.parameters

    mib = 2**20
    assert not holds(pe_memories(4, 4, 2 * mib), dec)
    assert not holds(pe_memories(4, 8, mib), dec)
    assert holds(pe_memories(4, 6, 2 * mib), enc)
    assert holds(pe_memories(2, 4, 4 * mib), enc)


def test_designs_as_small_as_the_published_ones_hold_the_recurrent_networks():
    small = SPACE.design_from(
        EDGE_TPU.as_dict() | {"pes_x": 1, "pes_y": 2, "lanes": 8, "pe_memory_bytes": 2**24}, "test"
    )
    area = area_mm2(SPACE.encode([small]))[0]
    assert area < 14.82  # Table 14: the design for t-RNN Dec; that for Enc has 19.87
    for name in ("t_rnn_dec", "t_rnn_enc"):
        workload = zoo.build(name)
        (row,) = EdgeTpuEvaluator().evaluate([Candidate(small)], workload)
        assert row.metrics["dram_bytes"] < workload.parameters


def test_an_activation_memory_that_holds_two_windows_of_rows_sends_every_row_once():
    layer = Layer("filter", "conv", K=16, C=64, P=16, Q=16, R=3, S=3)
    window_rows = 64 * 18 * 3
    designs = [SPACE.design_from(EDGE_TPU.as_dict() | {"activation_memory_entries": n}, "test") for n in (16384, 256)]
    assert 16 * 256 < 2 * window_rows <= 16 * 16384
    runs = EdgeTpuEvaluator().run_layers(candidates(designs), [layer])
    once, again = (run.metrics["onchip_bytes"] for run in runs)
    assert again - once == 16 * window_rows - layer.inputs > 0


def test_chunks_do_not_matter(monkeypatch):
    codes = sample(SPACE, 300, "random", 0)
    whole = EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2"))
    monkeypatch.setitem(module.CHUNK, "cpu", 7)
    parts = EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2"))
    for name, column in whole.metrics.items():
        assert np.array_equal(column, parts.metrics[name], equal_nan=True)


def test_merging_equal_layers_changes_nothing():
    first, last = Layer("a", "conv", K=8, C=3, P=32, Q=32, R=3, S=3), Layer("z", "gemm", K=10, C=64)
    middle = [LayerUse(Layer(f"m{i}", "conv", K=16, C=16, P=32, Q=32)) for i in range(4)]
    uses = [LayerUse(first), *middle, LayerUse(last)]
    answers = [
        EdgeTpuEvaluator().evaluate([Candidate(EDGE_TPU)], Workload("w", layers))[0].metrics
        for layers in (tuple(uses), merge(uses))
    ]
    assert answers[0] == pytest.approx(answers[1])


def program_of(answer, workload):
    """Return cycles and bytes of the part of a network's program that does not stay on the chip."""
    design = answer.design
    missing = max(0, context_of(workload).instruction_bytes - 16 * design["instruction_memory_entries"])
    return missing * (CLOCK / (design["dram_bandwidth_gbps"] / 8 * 1e9) + 75e-9 * CLOCK / 64), missing


def leakage_pj(design, cycles):
    return 25e9 * area_mm2(SPACE.encode([design]))[0] * cycles / CLOCK


def peak_macs(design):
    return 4 * design["pes_x"] * design["pes_y"] * design["cores"] * design["lanes"]


@pytest.mark.parametrize("name", ["mobilenet_v2", "unet"])
def test_a_network_is_its_layers_and_a_stated_overhead(name):
    workload = zoo.build(name)
    tight = SPACE.design_from(EDGE_TPU.as_dict() | {"instruction_memory_entries": 8192}, "test")
    for answer in EdgeTpuEvaluator().evaluate(candidates([EDGE_TPU, tight]), workload):
        assert [(run.layer.name, run.runs) for run in answer.layers] == [
            (use.layer.name, use.count) for use in workload.layers
        ]
        program_cycles, program_bytes = program_of(answer, workload)

        def total(metric, layers=answer.layers):
            return sum(run.runs * run.metrics[metric] for run in layers)

        beside_cycles = INVOCATION_S * CLOCK + issue(workload) + program_cycles
        cycles = total("delay_cycles") + beside_cycles
        metrics = answer.metrics
        assert metrics["delay_cycles"] == pytest.approx(cycles, abs=1)
        assert metrics["runtime_s"] == metrics["delay_cycles"] / CLOCK
        assert metrics["dram_bytes"] == pytest.approx(total("dram_bytes") + program_bytes)
        assert metrics["onchip_bytes"] == pytest.approx(total("onchip_bytes"))
        beside_pj = program_bytes * 8 * DRAM_PJ_PER_BIT + leakage_pj(answer.design, beside_cycles)
        assert metrics["energy_pj"] == pytest.approx(total("energy_pj") + beside_pj, rel=1e-6)
        work = sum(run.runs * run.layer.macs for run in answer.layers)
        assert metrics["utilization"] == pytest.approx(work / (metrics["delay_cycles"] * peak_macs(answer.design)))
        for run in answer.layers:
            share = run.layer.macs / (run.metrics["delay_cycles"] * peak_macs(answer.design))
            assert run.metrics["utilization"] == pytest.approx(share)


def test_a_layer_by_hand():
    """A product of 64 x 64 by 64 x 32 on the Edge TPU: 4 x 4 PEs, 4 cores, 64 lanes, 4 MACs each, 25 Gbit/s."""
    layer = Layer("product", "gemm", K=32, C=64, P=64)
    (run,) = EdgeTpuEvaluator().run_layers([Candidate(EDGE_TPU)], [layer])
    # rows over columns and cores, channels over rows in one pass: 64 rows / 4 / 4, 64 inputs / 4 per row
    assert run.mapping == "X:P Y:K cores:P"
    assert run.metrics["compute_cycles"] == 64
    # the parameters fit, so only inputs and outputs cross DRAM: 8 KiB requests that wait 60 cycles each
    moved = 64 * 64 + 64 * 32
    assert run.metrics["dram_bytes"] == moved
    half = 16 * EDGE_TPU["activation_memory_entries"] / 2
    assert run.metrics["dram_cycles"] == pytest.approx(moved * (CLOCK / 3.125e9 + 60 / half))
    assert run.metrics["onchip_bytes"] == 64 * 64 + 64 * 32 + 64 * 32
    buses = (64 * 64 + 64 * 32) / (4 * 4)  # four bytes per cycle and row
    parameters = 64 * 32 / 4 / 16  # an entry of 16 bytes per cycle and PE
    assert run.metrics["onchip_cycles"] == buses + parameters
    read_out, synchronise = 4 * 8, 2 * 16  # a value per cycle and core, two cycles per PE
    assert run.metrics["delay_cycles"] == pytest.approx(
        200 + synchronise + buses + run.metrics["dram_cycles"] + read_out
    )
    share = layer.macs / (run.metrics["delay_cycles"] * 4 * 4 * 4 * 64 * 4)
    assert run.metrics["utilization"] == pytest.approx(share)


def test_a_layer_alone_is_a_network_of_one_layer():
    layer = Layer("alone", "conv", K=32, C=16, P=28, Q=28, R=3, S=3)
    answer = EdgeTpuEvaluator().evaluate([Candidate(EDGE_TPU)], Workload("one", (LayerUse(layer, 3, 1),)))[0]
    (run,) = EdgeTpuEvaluator().run_layers([Candidate(EDGE_TPU)], [layer])
    assert (run.layer, run.runs, answer.layers[0].runs) == (layer, 1, 3)
    assert run.metrics == answer.layers[0].metrics


def test_a_layer_that_cannot_run_alone_says_why():
    tight = SPACE.design_from(EDGE_TPU.as_dict() | {"core_memory_bytes": 4096}, "test")
    small, large = Layer("small", "gemm", K=8, C=8), Layer("large", "gemm", K=512, C=8192)
    runs = EdgeTpuEvaluator().run_layers([Candidate(EDGE_TPU), Candidate(tight)], [small, large])
    assert [(run.design, run.layer.name) for run in runs] == [
        (design, name) for design in (EDGE_TPU, tight) for name in ("small", "large")
    ]
    assert [run.failure is None for run in runs] == [True, False, True, False]
    assert (runs[3].failure.resource, runs[3].failure.layer, runs[3].metrics) == ("core_memory_bytes", "large", {})


@pytest.mark.parametrize("brought", [{"mappings": {"conv": "L0[WIO] N1"}}, {"search": MappingSearch("thorough")}])
def test_its_mappings_are_its_own(brought):
    message = "evaluator edge_tpu of template 'edge_tpu' takes no mappings; the template's are fixed"
    with pytest.raises(ArmillaryError, match=message):
        EdgeTpuEvaluator().evaluate([Candidate(EDGE_TPU, **brought)], zoo.build("mobilenet_v2"))
    with pytest.raises(ArmillaryError, match=message):
        EdgeTpuEvaluator().run_layers([Candidate(EDGE_TPU, **brought)], [Layer("a", "gemm")])


@pytest.mark.parametrize("name", ["mobilenet_v2", "unet"])
def test_explained_parts_add_up(name):
    workload, evaluator = zoo.build(name), EdgeTpuEvaluator()
    answer = evaluator.evaluate([Candidate(EDGE_TPU)], workload)[0]
    parts = evaluator.explain(answer, workload)
    seconds = sum(c.delay_cycles for c in parts.layers) / CLOCK + sum(parts.overhead_s.values())
    assert answer.metrics["runtime_s"] == pytest.approx(seconds, abs=2e-9)
    assert sum(parts.energy_parts_pj.values()) == pytest.approx(answer.metrics["energy_pj"])
    assert sum(parts.area_parts_mm2.values()) == pytest.approx(answer.metrics["area_mm2"])
    assert sum(c.macs for c in parts.layers) == workload.macs
    assert [c.count for c in parts.layers] == [use.count for use in workload.layers]
    assert parts.rates.macs_per_s == peak_macs(EDGE_TPU) * CLOCK
    assert parts.rates.dram_bytes_per_s == EDGE_TPU["dram_bandwidth_gbps"] * 1e9 / 8
    program = parts.overhead_s["instruction fetch"] / (1 / parts.rates.dram_bytes_per_s + 75e-9 / 64)
    dram_bytes = sum(c.dram_bytes for c in parts.layers)
    assert dram_bytes + program == pytest.approx(answer.metrics["dram_bytes"])
    leaked = leakage_pj(EDGE_TPU, sum(parts.overhead_s.values()) * CLOCK)
    energy_pj = sum(c.energy_pj for c in parts.layers) + program * 8 * DRAM_PJ_PER_BIT + leaked
    assert energy_pj == pytest.approx(answer.metrics["energy_pj"], rel=1e-6)
    assert parts.overhead_s["start of the runtime"] == INVOCATION_S
    assert parts.overhead_s["instruction issue"] == pytest.approx(issue(workload) / CLOCK)
    assert parts.fixed == ("start of the runtime", "instruction issue")
    assert {c.bound for c in parts.layers} <= {"compute", "dram", "on-chip", "overhead"}


@pytest.mark.parametrize(
    ("name", "told"), [("mobilenet_v2", "3.49 MB of weights stay on chip"), ("t_rnn_enc", "do not fit on chip")]
)
def test_where_the_weights_are_is_told_beside_the_traffic(name, told):
    workload, evaluator = zoo.build(name), EdgeTpuEvaluator()
    answer = evaluator.evaluate([Candidate(EDGE_TPU)], workload)[0]
    assert told in evaluator.explain(answer, workload).remarks["dram_bytes"]
    assert (answer.metrics["dram_bytes"] > workload.parameters) == ("do not fit" in told)


def test_a_row_without_layers_is_explained_too():
    workload = zoo.build("mobilenet_v2")
    row = EdgeTpuEvaluator().evaluate_codes(SPACE.encode([EDGE_TPU]), workload).row(0)
    whole = EdgeTpuEvaluator().evaluate([Candidate(EDGE_TPU)], workload)[0]
    assert row.layers == ()
    assert EdgeTpuEvaluator().explain(row, workload) == EdgeTpuEvaluator().explain(whole, workload)


def test_says_which_layer_lacks_which_memory():
    tight = SPACE.design_from(EDGE_TPU.as_dict() | {"core_memory_bytes": 4096}, "test")
    answer = EdgeTpuEvaluator().evaluate([Candidate(tight)], zoo.build("unet"))[0]
    failure = answer.failure
    assert answer.layers == ()
    assert failure.resource == "core_memory_bytes"
    assert failure.layer in {use.layer.name for use in zoo.build("unet").layers}
    assert failure.needed > failure.available == 4096
    with pytest.raises(ArmillaryError, match="no legal mapping"):
        EdgeTpuEvaluator().explain(answer, zoo.build("unet"))


def test_a_design_too_large_to_build_says_so():
    huge = SPACE.design(np.array(SPACE.cardinalities) - 1)
    answer = EdgeTpuEvaluator().evaluate([Candidate(huge)], zoo.build("mobilenet_v2"))[0]
    assert str(answer.failure).startswith("area_mm2 needs")
    assert set(answer.metrics) == {"area_mm2"}
    with pytest.raises(ArmillaryError, match="cannot be built: its area is"):
        EdgeTpuEvaluator().explain(answer, zoo.build("mobilenet_v2"))


def test_no_designs_make_an_empty_table():
    rows = EdgeTpuEvaluator().evaluate_codes(np.empty((0, 10), dtype=np.int64), zoo.build("mobilenet_v2"))
    assert len(rows) == 0


def test_evaluators_are_found_by_template_and_fidelity():
    evaluator = for_template("edge_tpu", Fidelity.ANALYTICAL, seed=3)
    spec = evaluator.spec
    assert (spec.template, spec.name, spec.fidelity, spec.seed) == ("edge_tpu", "edge_tpu", Fidelity.ANALYTICAL, 3)
    assert (spec.options, spec.cost) == ({}, Cost.BATCH)
    assert isinstance(evaluator, EvaluatesBatches)
    assert isinstance(evaluator, EvaluatesLayers)
    with pytest.raises(ArmillaryError, match=r"no evaluator of fidelity 'rtl'; it has \['analytical'\]"):
        for_template("edge_tpu", Fidelity.RTL)
