import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import armillary
from armillary.log.layer_runs import LayerRuns
from armillary.log.schema import (
    EVALUATIONS,
    LAYER_RUNS,
    METADATA_KEY,
    SCHEMA_VERSION,
    ForeignFileError,
    Header,
    NewerSchemaError,
    from_table,
    to_table,
)
from armillary.types import ArmillaryError, Evaluations

NAMES = st.text("abcxyz_", min_size=1, max_size=4).map("n_".__add__)
TEXT = st.text(max_size=6)


def _column(elements, rows, dtype):
    return npst.arrays(dtype, rows, elements=elements, fill=st.nothing())


TEXTS = (
    "workload", "evaluator", "version", "fidelity", "options", "failure_kind", "failure_resource", "failure_layer",
    "failure_detail",
)  # fmt: skip
OF_LAYERS = {
    object: ("network", "layer", "kind", "bits", "mapping"),
    bool: ("bias", "dynamic"),
    np.int64: (
        "position", "runs", "N", "K", "C", "P", "Q", "R", "S", "stride_h", "stride_w", "dilation_h", "dilation_w",
        "groups", "outputs_per_bias",
    ),
}  # fmt: skip


@st.composite
def any_rows(draw):
    """Draw rows of one of the tables with any text, any numbers, and parameters of any type."""
    rows = draw(st.integers(0, 8))
    columns = {
        object: _column(TEXT, rows, object),
        float: _column(st.floats(allow_nan=True), rows, float),
        np.int64: _column(st.integers(-(2**63), 2**63 - 1), rows, np.int64),
        bool: _column(st.booleans(), rows, bool),
    }
    number = columns[float]
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    values = st.one_of(columns[np.int64], _column(st.floats(allow_nan=False), rows, float), columns[object])
    moments = _column(st.integers(-(2**60), 2**60), rows, np.int64)
    shared = {
        "space": draw(TEXT),
        "design": {name: draw(values) for name in names[:3]},
        "metrics": {name: draw(number) for name in names[3:]},
        "feasible": draw(columns[bool]),
        "seed": draw(columns[np.int64]),
        "time": draw(moments).astype("datetime64[us]"),
        **{name: draw(number) for name in ("failure_needed", "failure_available")},
        **{name: draw(columns[object]) for name in TEXTS},
    }
    if draw(st.booleans()):
        context = {name: draw(number) for name in draw(st.lists(NAMES, unique=True, max_size=2))}
        return Evaluations(**shared, context=context, seconds=draw(number)), EVALUATIONS
    own = {name: draw(columns[kind]) for kind, names in OF_LAYERS.items() for name in names}
    return LayerRuns(**shared, **own), LAYER_RUNS


@settings(max_examples=100, deadline=None)
@given(drawn=any_rows())
def test_a_table_gives_back_what_went_in(drawn, assert_same):
    rows, table = drawn
    assert_same(from_table(to_table(rows, table), table), rows)


@settings(max_examples=60, deadline=None)
@given(drawn=any_rows())
def test_a_parquet_file_gives_back_what_went_in(drawn, assert_same):
    rows, table = drawn
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(rows, table), sink)
    assert_same(from_table(pq.read_table(pa.BufferReader(sink.getvalue())), table), rows)


def test_a_table_describes_itself(evaluations):
    fields = json.loads(to_table(evaluations(), EVALUATIONS).schema.metadata[METADATA_KEY])
    assert fields["schema_version"] == SCHEMA_VERSION
    assert fields["armillary_version"] == armillary.__version__
    assert fields["table"] == "evaluations"
    assert fields["space"] == "edge_tpu"
    assert fields["parameters"][:2] == ["pes_x", "pes_y"]
    assert fields["context"] == ["conv_ops", "parameter_mb"]
    assert fields["metrics"] == ["runtime_s", "area_mm2", "energy_pj"]


def test_a_table_of_layer_runs_describes_itself(layer_runs):
    fields = json.loads(to_table(layer_runs(), LAYER_RUNS).schema.metadata[METADATA_KEY])
    assert fields["table"] == "layer_runs"
    assert fields["schema_version"] == SCHEMA_VERSION
    assert fields["parameters"][:2] == ["pes_x", "pes_y"]
    assert fields["context"] == []
    assert fields["metrics"] == ["delay_cycles", "energy_pj"]


def test_columns_have_plain_names_and_text_is_encoded(evaluations):
    schema = to_table(evaluations(), EVALUATIONS).schema
    assert {"space", "workload", "pes_x", "context_conv_ops", "runtime_s", "time"} <= set(schema.names)
    assert pa.types.is_dictionary(schema.field("failure_layer").type)
    assert schema.field("time").type == pa.timestamp("us")


def test_what_is_not_known_is_null(evaluations):
    data = evaluations()
    table = to_table(data, EVALUATIONS)
    assert table["runtime_s"].null_count == np.isnan(data.metrics["runtime_s"]).sum() > 0


def test_names_of_numpy_strings_and_slices_are_stored(evaluations, assert_same):
    data = evaluations(40)
    data = dataclasses.replace(data, design={**data.design, "dataflow": np.array(["ws", "os"])[np.arange(40) % 2]})
    back = from_table(to_table(data.select(slice(None, None, 3)), EVALUATIONS), EVALUATIONS)
    assert list(back.design["dataflow"][:3]) == ["ws", "os", "ws"]
    assert_same(back.select(slice(0, 0)), from_table(to_table(back.select(slice(0, 0)), EVALUATIONS), EVALUATIONS))


@pytest.mark.parametrize("name", ["seed", "failure", "space", "runtime_s", "context_conv_ops"])
def test_two_columns_of_one_name_are_refused(evaluations, name):
    data = evaluations()
    clash = dataclasses.replace(data, design={**data.design, name: data.design["pes_x"]})
    with pytest.raises(ArmillaryError, match=rf"space 'edge_tpu' cannot be logged: column names \['{name}'\]"):
        to_table(clash, EVALUATIONS)


@pytest.mark.parametrize("name", ["K", "mapping", "layer", "position", "failure", "delay_cycles"])
def test_a_parameter_is_not_called_like_a_column_of_layer_runs(layer_runs, name):
    data = layer_runs()
    clash = dataclasses.replace(data, design={**data.design, name: data.design["pes_x"]})
    with pytest.raises(ArmillaryError, match=rf"space 'edge_tpu' cannot be logged: column names \['{name}'\]"):
        to_table(clash, LAYER_RUNS)


def test_layer_runs_of_version_4_have_no_widths_of_their_own(layer_runs, assert_same):
    rows = layer_runs(5)
    stored = to_table(rows, LAYER_RUNS)
    header = json.loads(stored.schema.metadata[METADATA_KEY]) | {"schema_version": 4}
    before = stored.drop_columns(["bits"]).replace_schema_metadata({METADATA_KEY: json.dumps(header).encode()})
    none = np.array([""] * 5, dtype=object)
    assert_same(from_table(before, LAYER_RUNS), dataclasses.replace(rows, bits=none))


def test_layer_runs_of_version_2_are_of_no_network(layer_runs, assert_same):
    rows = layer_runs(5)
    stored = to_table(rows, LAYER_RUNS)
    header = json.loads(stored.schema.metadata[METADATA_KEY]) | {"schema_version": 2}
    before = stored.drop_columns(["network", "bits"]).replace_schema_metadata(
        {METADATA_KEY: json.dumps(header).encode()}
    )
    nobody = np.array([""] * 5, dtype=object)
    assert_same(from_table(before, LAYER_RUNS), dataclasses.replace(rows, network=nobody, bits=nobody))


@pytest.mark.parametrize(
    ("value", "message"), [(None, "a value is None"), (3, "must hold text"), ("\ud800", "must hold text")]
)
def test_a_text_column_holds_text(evaluations, value, message):
    data = evaluations(3)
    odd = np.array(["a", value, "b"], dtype=object)
    with pytest.raises(ArmillaryError, match=f"column failure_detail cannot be logged: .*{message}"):
        to_table(dataclasses.replace(data, failure_detail=odd), EVALUATIONS)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {METADATA_KEY: b"{"},
        {METADATA_KEY: b"[]"},
        {METADATA_KEY: b'{"schema_version": 1, "space": "x"}'},
        {
            METADATA_KEY: b'{"schema_version": 2, "space": "x", "parameters": [], "context": [], "metrics": [], '
            b'"armillary_version": "1"}'
        },
    ],
)
def test_a_table_without_a_header_is_foreign(metadata):
    with pytest.raises(ForeignFileError, match="header"):
        Header.read(metadata, EVALUATIONS)


def test_a_later_schema_version_says_to_upgrade():
    metadata = {METADATA_KEY: b'{"schema_version": 99, "armillary_version": "7.0"}'}
    with pytest.raises(NewerSchemaError, match=r"schema version is 99, written by Armillary 7\.0; .*up to 5: upgrade"):
        Header.read(metadata, EVALUATIONS)


@pytest.mark.parametrize("name", ["runtime_s", "options", "pes_x", "context_conv_ops"])
def test_a_table_that_lacks_a_column_is_foreign(evaluations, name):
    with pytest.raises(ForeignFileError, match=rf"\['{name}'\] are missing"):
        from_table(to_table(evaluations(), EVALUATIONS).drop_columns([name]), EVALUATIONS)


def test_layer_runs_without_options_are_foreign(layer_runs):
    with pytest.raises(ForeignFileError, match=r"\['options'\] are missing"):
        from_table(to_table(layer_runs(), LAYER_RUNS).drop_columns(["options"]), LAYER_RUNS)


def test_version_1_had_no_options(evaluations, version_1, assert_same):
    stored = version_1(evaluations())
    assert "options" not in stored.column_names
    assert_same(from_table(stored, EVALUATIONS), dataclasses.replace(evaluations(), options=np.full(20, "", object)))


def test_version_1_had_no_layer_runs(evaluations, version_1):
    with pytest.raises(ForeignFileError, match="it holds evaluations, which do not belong here among layer_runs"):
        from_table(version_1(evaluations()), LAYER_RUNS)
