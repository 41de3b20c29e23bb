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
from armillary.log.schema import (
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


@st.composite
def any_evaluations(draw):
    """Draw evaluations with any text, any numbers, and parameters of any type."""
    rows = draw(st.integers(0, 8))
    text = _column(TEXT, rows, object)
    number = _column(st.floats(allow_nan=True), rows, float)
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    whole = _column(st.integers(-(2**63), 2**63 - 1), rows, np.int64)
    values = st.one_of(whole, _column(st.floats(allow_nan=False), rows, float), text)
    texts = ("workload", "evaluator", "version", "fidelity")
    failures = ("failure_kind", "failure_resource", "failure_layer", "failure_detail")
    moments = _column(st.integers(-(2**60), 2**60), rows, np.int64)
    return Evaluations(
        space=draw(TEXT),
        design={name: draw(values) for name in names[:3]},
        context={name: draw(number) for name in draw(st.lists(NAMES, unique=True, max_size=2))},
        metrics={name: draw(number) for name in names[3:]},
        feasible=draw(_column(st.booleans(), rows, bool)),
        seed=draw(whole),
        time=draw(moments).astype("datetime64[us]"),
        **{name: draw(number) for name in ("failure_needed", "failure_available", "seconds")},
        **{name: draw(text) for name in (*texts, *failures)},
    )


@settings(max_examples=60, deadline=None)
@given(drawn=any_evaluations())
def test_a_table_gives_back_what_went_in(drawn, assert_same):
    assert_same(from_table(to_table(drawn)), drawn)


@settings(max_examples=30, deadline=None)
@given(drawn=any_evaluations())
def test_a_parquet_file_gives_back_what_went_in(drawn, assert_same):
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(drawn), sink)
    assert_same(from_table(pq.read_table(pa.BufferReader(sink.getvalue()))), drawn)


def test_a_table_describes_itself(evaluations):
    fields = json.loads(to_table(evaluations()).schema.metadata[METADATA_KEY])
    assert fields["schema_version"] == SCHEMA_VERSION
    assert fields["armillary_version"] == armillary.__version__
    assert fields["space"] == "edge_tpu"
    assert fields["parameters"][:2] == ["pes_x", "pes_y"]
    assert fields["context"] == ["conv_ops", "parameter_mb"]
    assert fields["metrics"] == ["runtime_s", "area_mm2", "energy_pj"]


def test_columns_have_plain_names_and_text_is_encoded(evaluations):
    schema = to_table(evaluations()).schema
    assert {"space", "workload", "pes_x", "context_conv_ops", "runtime_s", "time"} <= set(schema.names)
    assert pa.types.is_dictionary(schema.field("failure_layer").type)
    assert schema.field("time").type == pa.timestamp("us")


def test_what_is_not_known_is_null(evaluations):
    data = evaluations()
    table = to_table(data)
    assert table["runtime_s"].null_count == np.isnan(data.metrics["runtime_s"]).sum() > 0


def test_names_of_numpy_strings_and_slices_are_stored(evaluations, assert_same):
    data = evaluations(40)
    data = dataclasses.replace(data, design={**data.design, "dataflow": np.array(["ws", "os"])[np.arange(40) % 2]})
    back = from_table(to_table(data.select(slice(None, None, 3))))
    assert list(back.design["dataflow"][:3]) == ["ws", "os", "ws"]
    assert_same(back.select(slice(0, 0)), from_table(to_table(back.select(slice(0, 0)))))


@pytest.mark.parametrize("name", ["seed", "failure", "space", "runtime_s", "context_conv_ops"])
def test_two_columns_of_one_name_are_refused(evaluations, name):
    data = evaluations()
    clash = dataclasses.replace(data, design={**data.design, name: data.design["pes_x"]})
    with pytest.raises(ArmillaryError, match=rf"space 'edge_tpu' cannot be logged: column names \['{name}'\]"):
        to_table(clash)


@pytest.mark.parametrize(
    ("value", "message"), [(None, "a value is None"), (3, "must hold text"), ("\ud800", "must hold text")]
)
def test_a_text_column_holds_text(evaluations, value, message):
    data = evaluations(3)
    odd = np.array(["a", value, "b"], dtype=object)
    with pytest.raises(ArmillaryError, match=f"column failure_detail cannot be logged: .*{message}"):
        to_table(dataclasses.replace(data, failure_detail=odd))


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {METADATA_KEY: b"{"}, {METADATA_KEY: b"[]"}, {METADATA_KEY: b'{"schema_version": 1, "space": "x"}'}],
)
def test_a_table_without_a_header_is_foreign(metadata):
    with pytest.raises(ForeignFileError, match="header"):
        Header.read(metadata)


def test_a_later_schema_version_says_to_upgrade():
    metadata = {METADATA_KEY: b'{"schema_version": 99, "armillary_version": "7.0"}'}
    with pytest.raises(NewerSchemaError, match=r"schema version is 99, written by Armillary 7\.0; .*up to 1: upgrade"):
        Header.read(metadata)


def test_a_table_that_lacks_a_column_is_foreign(evaluations):
    with pytest.raises(ForeignFileError, match=r"\['runtime_s'\] are missing"):
        from_table(to_table(evaluations()).drop_columns(["runtime_s"]))
