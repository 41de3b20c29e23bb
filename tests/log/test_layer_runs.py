"""Runs of layers as columns, and back to the evaluations that they are part of."""

import dataclasses
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.hardware.bits import Bits
from armillary.log.layer_runs import LayerRuns, runs_of_each
from armillary.log.schema import LAYER_RUNS, from_table, to_table
from armillary.types import (
    ArmillaryError,
    Design,
    Evaluation,
    Evaluations,
    EvaluatorSpec,
    Failure,
    Fidelity,
    LayerRun,
)
from armillary.workloads.layer import Layer, LayerUse, Workload

SPEC = EvaluatorSpec("mine", Fidelity.RTL, "tool", "1.2", options={"mapper": "random", "depth": 3}, seed=11)
TIME = datetime(2026, 1, 31, 13, 5, 0, 17)
SHORT = Failure("infeasible", "scratchpad_bytes", "second", 300.0, 200.0)
NET = Workload(
    "net",
    (
        LayerUse(Layer("first", "conv", K=8, C=4, P=9, Q=7, R=3, S=5, stride_h=2, dilation_w=2, bias=True), count=3),
        LayerUse(Layer("second", "gemm", K=8, C=4, P=9, groups=4, dynamic=True)),
        LayerUse(Layer("third", "depthwise", N=2, K=4, C=4, stride_w=2, dilation_h=3, groups=4, outputs_per_bias=2)),
    ),
)

NUMBER = st.floats(allow_nan=False)
DESIGN = st.builds(
    lambda width, flow, volts: Design("mine", (("width", width), ("flow", flow), ("volts", volts))),
    st.integers(0, 3), st.sampled_from(["ws", "os"]), st.sampled_from([0.5, 1.1]),
)  # fmt: skip
SIZE = st.integers(1, 1000)


@st.composite
def any_layer(draw):
    groups, per_bias = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    sizes = {name: draw(SIZE) for name in ("N", "P", "Q", "R", "S", "stride_h", "stride_w", "dilation_h", "dilation_w")}
    return Layer(
        draw(st.text(max_size=4)), draw(st.sampled_from(["conv", "depthwise", "gemm"])), **sizes, groups=groups,
        K=draw(SIZE) * groups * per_bias, C=draw(SIZE) * groups, bias=draw(st.booleans()), dynamic=draw(st.booleans()),
        outputs_per_bias=per_bias,
    )  # fmt: skip


FAILURE = st.builds(
    Failure, st.sampled_from(["infeasible", "error"]), st.text(max_size=4), st.text(max_size=4), NUMBER, NUMBER,
    st.text(max_size=4),
)  # fmt: skip
METRICS = st.dictionaries(st.sampled_from(["delay_cycles", "energy_pj", "mine_s"]), NUMBER)
RUN = st.builds(
    LayerRun, DESIGN, any_layer(), st.text(max_size=6), METRICS, st.none() | FAILURE, runs=SIZE,
    network=st.text(max_size=4),
)  # fmt: skip


def stored(layer_runs):
    """Return layer runs as a Parquet file gives them back."""
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(layer_runs, LAYER_RUNS), sink)
    return from_table(pq.read_table(pa.BufferReader(sink.getvalue())), LAYER_RUNS)


def same(one, other):
    """Return whether two runs are the same, the name of the layer included."""
    return one == other and one.layer.name == other.layer.name


@settings(max_examples=100, deadline=None)
@given(runs=st.lists(RUN, min_size=1, max_size=6))
def test_runs_come_back_from_a_file_as_they_were(runs):
    back = stored(LayerRuns.of_runs(runs, SPEC, TIME))
    assert all(map(same, back.to_list(), runs))
    assert all(same(back.row(i), run) for i, run in enumerate(runs))
    assert len(back) == len(runs)


def runs_of(design, scale=1.0, workload=NET):
    return tuple(
        LayerRun(design, use.layer, f"L1 K{i} - L0 P{scale}", {"delay_cycles": scale * (i + 1)}, runs=use.count)
        for i, use in enumerate(workload.layers)
    )


def design(width):
    return Design("mine", (("width", width), ("flow", "ws")))


def evaluation(width=1, **changes):
    layers = changes.pop("layers", runs_of(design(width), changes.pop("scale", 1.0)))
    plain = {"design": design(width), "workload": NET.name, "context": {"conv_ops": 2.0}, "evaluator": "tool",
             "version": "1.2", "fidelity": Fidelity.RTL, "metrics": {"delay_cycles": 6.0}, "feasible": True,
             "failure": None, "seconds": 0.5, "seed": 3, "time": TIME, "options": {"mapper": "random"}}  # fmt: skip
    return Evaluation(**{**plain, **changes}, layers=layers)


def test_runs_say_whose_they_are_and_where_they_stand():
    runs = LayerRuns.of_evaluations([evaluation(1), evaluation(2, seed=4)])
    assert runs.space == "mine"
    assert runs.design["width"].tolist() == [1, 1, 1, 2, 2, 2]
    assert runs.design["flow"].tolist() == ["ws"] * 6
    assert runs.position.tolist() == [0, 1, 2] * 2
    assert runs.runs.tolist() == [3, 1, 1] * 2
    assert runs.layer.tolist() == ["first", "second", "third"] * 2
    assert runs.seed.tolist() == [3] * 3 + [4] * 3
    assert set(runs.time.tolist()) == {TIME}
    for name, value in (("workload", "net"), ("evaluator", "tool"), ("version", "1.2"), ("fidelity", "rtl"),
                        ("options", '{"mapper": "random"}')):  # fmt: skip
        assert set(getattr(runs, name)) == {value}
    assert runs.to_list() == [*evaluation(1).layers, *evaluation(2).layers]


def test_the_columns_of_a_layer_are_its_fields():
    runs = LayerRuns.of_evaluations([evaluation()])
    for field in dataclasses.fields(Layer):
        if field.name == "bits":
            assert runs.bits.tolist() == [""] * len(NET.layers)
            continue
        column = runs.layer if field.name == "name" else getattr(runs, field.name)
        assert column.tolist() == [getattr(use.layer, field.name) for use in NET.layers], field.name


def test_runs_of_layers_alone_belong_to_no_workload():
    failed = LayerRun(design(2), NET.layers[1].layer, "", {}, SHORT)
    runs = LayerRuns.of_runs([runs_of(design(1))[1], failed], SPEC, TIME)
    assert runs.workload.tolist() == ["", ""]
    assert runs.position.tolist() == [0, 0]
    assert runs.runs.tolist() == [1, 1]
    assert runs.options.tolist() == ['{"depth": 3, "mapper": "random"}'] * 2
    assert (runs.evaluator[0], runs.version[0], runs.fidelity[0], runs.seed[0]) == ("tool", "1.2", "rtl", 11)
    assert runs.feasible.tolist() == [True, False]
    assert runs.row(1) == failed
    assert np.isnan(runs.metrics["delay_cycles"][1])


def test_an_evaluation_that_tells_no_runs_has_none():
    silent = evaluation(1, layers=())
    assert len(stored(LayerRuns.of_evaluations([silent]))) == 0
    assert LayerRuns.of_evaluations([silent, evaluation(2), silent]).design["width"].tolist() == [2, 2, 2]
    assert LayerRuns.of_evaluations([silent]).to_list() == []


def test_layers_are_told_as_the_hardware_runs_them():
    """A layer may be packed into another shape, or run on several arrays: names, shapes and counts are the runs'."""
    packed = dataclasses.replace(NET.layers[0].layer, K=16, P=5)
    shares = [dataclasses.replace(packed, name=name) for name in ("first", "first#2")]
    layers = tuple(LayerRun(design(1), layer, "L0 N1", {"delay_cycles": 2.0}, runs=7) for layer in shares)
    runs = LayerRuns.of_evaluations([evaluation(1, layers=layers)])
    assert runs.layer.tolist() == ["first", "first#2"]
    assert (runs.K.tolist(), runs.P.tolist()) == ([16, 16], [5, 5])
    assert (runs.position.tolist(), runs.runs.tolist()) == ([0, 1], [7, 7])
    assert all(map(same, runs.to_list(), layers))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": (*runs_of(design(1)), runs_of(design(1))[1])}, "tells two runs of layers named 'second'"),
        ({"layers": runs_of(design(2))}, r"and design Design\(.*'width', 1.*\) tells a run on Design\(.*'width', 2"),
    ],
)
def test_runs_that_belong_to_nothing_are_refused(wrong, message):
    with pytest.raises(ArmillaryError, match=f"^evaluator tool: an evaluation of workload 'net' {message}"):
        LayerRuns.of_evaluations([evaluation(2, layers=()), evaluation(1, **wrong)])


def test_a_layer_keeps_widths_of_its_own():
    layer = dataclasses.replace(NET.layers[0].layer, bits=Bits(W=4))
    wide = (LayerRun(design(1), layer, "L0 N1", {"delay_cycles": 2.0}),)
    runs = LayerRuns.of_evaluations([evaluation(1, layers=(*wide, *evaluation(1).layers[1:]))])
    assert runs.bits.tolist()[:2] == ["W=4", ""]
    assert runs.to_list()[0].layer == layer
    assert runs.to_list()[0].layer != NET.layers[0].layer


def test_parts_join_and_rows_are_chosen():
    parts = [LayerRuns.of_evaluations([evaluation(width)]) for width in (1, 2)]
    both = LayerRuns.concat(parts)
    assert both.to_list() == [*parts[0].to_list(), *parts[1].to_list()]
    assert both.select(both.position == 1).to_list() == [evaluation(1).layers[1], evaluation(2).layers[1]]
    other = dataclasses.replace(parts[0], space="other")
    with pytest.raises(ValueError, match=r"layer runs of space 'other' .* do not join those of 'mine'"):
        LayerRuns.concat([parts[0], other])
    with pytest.raises(ValueError, match="nothing to concatenate"):
        LayerRuns.concat([])


def test_a_column_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"column position has shape \(2,\), expected \(3,\)"):
        dataclasses.replace(LayerRuns.of_evaluations([evaluation()]), position=np.zeros(2, dtype=np.int64))


def of_each(evaluations, *written):
    return runs_of_each(Evaluations.from_list(evaluations), LayerRuns.concat([*written]))


def test_runs_find_their_evaluations():
    told = [evaluation(width, scale=float(width)) for width in (1, 2, 3)]
    runs = LayerRuns.of_evaluations(told)
    asked = [told[2], evaluation(4), told[0], told[2]]
    assert of_each(asked, runs) == [told[2].layers, (), told[0].layers, told[2].layers]


@pytest.mark.parametrize(
    "other",
    [
        {"workload": "net2"},
        {"evaluator": "tool2"},
        {"version": "1.3"},
        {"seed": 4},
        {"options": {"mapper": "exhaustive"}},
        {"options": {}},
    ],
    ids=str,
)
def test_an_evaluation_has_only_runs_of_its_own_kind(other):
    runs = LayerRuns.of_evaluations([evaluation()])
    assert of_each([evaluation(**other), evaluation()], runs) == [(), evaluation().layers]


def test_of_runs_written_twice_the_last_counts_use_by_use():
    """As after a crash between the two appends; here the second writer did not come to the last layer."""
    first, second = evaluation(scale=1.0), evaluation(scale=2.0)
    twice = LayerRuns.of_evaluations([second]).select(slice(0, 2))
    assert of_each([first], LayerRuns.of_evaluations([first]), twice) == [(*second.layers[:2], first.layers[2])]


def test_a_layer_that_runs_in_two_places_has_two_runs():
    use = NET.layers[1]
    again = dataclasses.replace(use, layer=dataclasses.replace(use.layer, name="second#2"))
    told = evaluation(layers=runs_of(design(1), workload=Workload("net", (use, NET.layers[0], again))))
    assert of_each([told], LayerRuns.of_evaluations([told])) == [told.layers]


def test_other_parameters_do_not_belong_together():
    runs = LayerRuns.of_evaluations([evaluation()])
    other = dataclasses.replace(Evaluations.from_list([evaluation()]), design={"width": np.array([1])})
    with pytest.raises(ValueError, match=r"parameters \['width', 'flow'\] do not belong to evaluations of \['width'\]"):
        runs_of_each(other, runs)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_runs_are_found_as_a_search_row_by_row_finds_them(evaluations, layer_runs, seed):
    rng = np.random.default_rng(seed)
    design = {"pes_x": rng.integers(0, 2, 300), "flow": np.array(["ws", "os"], dtype=object)[rng.integers(0, 2, 300)]}
    few = {"seed": rng.integers(0, 2, 300), "version": np.array(["1", "2"], dtype=object)[rng.integers(0, 2, 300)]}
    runs = dataclasses.replace(layer_runs(300, seed), design=design, position=rng.integers(0, 3, 300), **few)
    rows = dataclasses.replace(
        evaluations(20, seed), design={name: column[:20] for name, column in design.items()},
        **{name: column[:20] for name, column in few.items()},
    )  # fmt: skip
    values = runs.to_list()
    names = ("workload", "evaluator", "version", "options", "seed")
    for row, found in enumerate(runs_of_each(rows, runs)):
        last = {}
        for i, run in enumerate(values):
            if run.design == rows.row(row).design and all(
                getattr(runs, name)[i] == getattr(rows, name)[row] for name in names
            ):
                last[runs.position[i]] = run
        expected = [last[position] for position in sorted(last)]
        assert list(map(repr, found)) == list(map(repr, expected))  # NaN is not equal to itself
