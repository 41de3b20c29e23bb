"""Import of TFRecord files, written here byte by byte from the published description of the format.

The writer shares nothing with the reader: it has its own checksum (bit by bit) and its own encoding of
the three protobuf wire types that a `tf.train.Example` needs.
"""

import re
import struct

import google_crc32c
import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.exchange import import_prime_tfrecords
from armillary.log.store import Log
from armillary.log.tfrecord import BATCH_RECORDS, MOST_RECORD_BYTES, example_class, read_records
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError


def crc32c_bit_by_bit(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked_crc(data):
    crc = crc32c_bit_by_bit(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def varint(number):
    number &= (1 << 64) - 1
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def float_feature(*values, packed=True):
    if packed:
        return field(2, field(1, b"".join(struct.pack("<f", value) for value in values)))
    return field(2, b"".join(bytes([1 << 3 | 5]) + struct.pack("<f", value) for value in values))


def int_feature(*values):
    return field(3, field(1, b"".join(varint(value) for value in values)))


def example(features):
    entries = (field(1, field(1, name.encode()) + field(2, feature)) for name, feature in features.items())
    return field(1, b"".join(entries))


VALUES = {f"param_{i + 1}": p.values[1] for i, p in enumerate(SPACE.parameters)}


def features(runtime=252.5, area=27.0, infeasible=0, **params):
    floats = {**VALUES, **params, "runtime": runtime, "area": area}
    return {name: float_feature(value) for name, value in floats.items()} | {"infeasible": int_feature(infeasible)}


@pytest.fixture
def tfrecord(tmp_path):
    def write(*records, name="part.tfrecord"):
        path = tmp_path / name
        path.write_bytes(b"".join(framed(example(record)) for record in records))
        return path

    return write


def test_the_checksum_gives_the_published_answers():
    known = {
        b"123456789": 0xE3069283,
        bytes(32): 0x8A9136AA,  # RFC 3720, B.4: the next three too
        b"\xff" * 32: 0x62A8AB43,
        bytes(range(32)): 0x46DD794E,
    }
    for data, crc in known.items():
        assert crc32c_bit_by_bit(data) == crc
        assert google_crc32c.value(data) == crc


def header(length):
    told = struct.pack("<Q", length)
    return told + struct.pack("<I", masked_crc(told))


@pytest.mark.parametrize("length", [20 << 30, (1 << 64) - 1])
def test_a_length_beyond_the_file_is_not_read(length, tmp_path):
    path = tmp_path / "r.tfrecord"
    path.write_bytes(header(length) + bytes(100))
    with pytest.raises(ArmillaryError, match=rf"record 1 at byte 0 is cut short: .* have 100 of {length + 4} bytes"):
        list(read_records(path))


def test_a_record_too_large_is_not_read(tmp_path):
    path = tmp_path / "r.tfrecord"
    path.write_bytes(header(MOST_RECORD_BYTES + 1))
    with path.open("r+b") as file:
        file.truncate(MOST_RECORD_BYTES + 100)
    with pytest.raises(ArmillaryError, match="record 1 at byte 0 has 67,108,865 bytes; at most 67,108,864 are read"):
        list(read_records(path))


def test_an_example_is_what_the_wire_format_says():
    data = example({"a": float_feature(1.5, -2.0), "b": int_feature(-1, 300), "c": field(1, field(1, b"raw"))})
    read = example_class().FromString(data).features.feature
    assert list(read["a"].float_list.value) == [1.5, -2.0]
    assert list(read["b"].int64_list.value) == [-1, 300]
    assert list(read["c"].bytes_list.value) == [b"raw"]


def test_records_become_evaluations(tfrecord):
    path = tfrecord(features(), features(param_3=256, param_10=30, runtime=100.0, area=12.5))
    data = import_prime_tfrecords([path], "m4", SPACE)
    assert data.space == "edge_tpu"
    assert list(data.design) == list(SPACE.names)
    first, second = data.to_list()
    assert first.design == SPACE.design([1] * 10)
    assert second.design["lanes"] == 256
    assert second.design["dram_bandwidth_gbps"] == 30
    assert (first.workload, first.evaluator, first.fidelity) == ("m4", "prime_dataset", "external")
    assert (first.version, first.options) == ("", {})
    assert first.metrics == {"runtime_s": 0.2525, "area_mm2": 27.0}
    assert first.feasible
    assert second.metrics == {"runtime_s": 0.1, "area_mm2": 12.5}


def test_the_names_follow_the_order_of_table_1(tfrecord):
    data = import_prime_tfrecords([tfrecord(features(param_1=32, param_4=14))], "m4", SPACE)
    assert {name: column[0] for name, column in data.design.items()} == {
        "pes_x": 32, "pes_y": 2, "lanes": 8, "cores": 14, "pe_memory_bytes": 524288, "core_memory_bytes": 8192,
        "activation_memory_entries": 512, "instruction_memory_entries": 16384, "parameter_memory_entries": 4096,
        "dram_bandwidth_gbps": 10,
    }  # fmt: skip


def test_an_infeasible_record_fails_without_a_stated_reason(tfrecord):
    bare = features(infeasible=1)
    del bare["runtime"], bare["area"]
    data = import_prime_tfrecords(
        [tfrecord(features(0.0, 31.5, infeasible=1), features(-1.0, 0.0, 1), bare)], "m4", SPACE
    )
    assert data.feasible.tolist() == [False] * 3
    assert np.isnan(data.metrics["runtime_s"]).all()
    np.testing.assert_array_equal(data.metrics["area_mm2"], [31.5, np.nan, np.nan])
    failure = data.failure(0)
    assert (failure.kind, failure.resource, failure.detail) == ("infeasible", "", "unstated")


def test_several_files_make_one_log(tfrecord, tmp_path, assert_same):
    paths = [tfrecord(features(param_1=1), name="a"), tfrecord(features(param_1=2), features(param_1=4), name="b")]
    told = []
    data = import_prime_tfrecords(paths, "m4", SPACE, context={"conv_ops": 45.0}, progress=told.append)
    assert data.design["pes_x"].tolist() == [1, 2, 4]
    assert data.context["conv_ops"].tolist() == [45.0] * 3
    assert sum(told) == 3
    log = Log(tmp_path / "log")
    log.append(data)
    assert_same(log.evaluations("edge_tpu"), data)


def test_floats_may_be_written_unpacked(tfrecord):
    record = {**features(), "param_1": float_feature(32, packed=False)}
    assert import_prime_tfrecords([tfrecord(record)], "m4", SPACE).design["pes_x"].tolist() == [32]


def test_a_file_longer_than_one_batch_is_read_whole(tmp_path):
    path = tmp_path / "long.tfrecord"
    path.write_bytes(framed(example(features())) * (BATCH_RECORDS + 10))
    assert len(import_prime_tfrecords([path], "m4", SPACE)) == BATCH_RECORDS + 10
    assert [len(batch) for batch in read_records(path)] == [BATCH_RECORDS, 10]


def test_an_empty_file_has_no_records(tfrecord):
    assert len(import_prime_tfrecords([tfrecord()], "m4", SPACE)) == 0


@pytest.mark.parametrize("kept", [3, 11, 12, 20, -4, -1])
def test_a_record_cut_short_is_named_with_its_offset(tfrecord, kept):
    path = tfrecord(features(), features())
    size = len(path.read_bytes()) // 2
    path.write_bytes(path.read_bytes()[: size + (kept if kept > 0 else size + kept)])
    with pytest.raises(ArmillaryError, match=rf"{path}: record 2 at byte {size} is cut short: its .* of \d+ bytes"):
        import_prime_tfrecords([path], "m4", SPACE)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (2, "a wrong length checksum"),
        (9, "a wrong length checksum"),
        (40, "a wrong data checksum"),
        (-2, "a wrong data"),
    ],
)
def test_a_damaged_record_is_named_with_its_offset(tfrecord, position, message):
    path = tfrecord(features(), features())
    data = bytearray(path.read_bytes())
    size = len(data) // 2
    data[size + position if position > 0 else 2 * size + position] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArmillaryError, match=rf"{path}: record 2 at byte {size} has {message}"):
        import_prime_tfrecords([path], "m4", SPACE)


def test_what_is_no_tfrecord_file_is_refused(tmp_path):
    path = tmp_path / "text"
    path.write_text("param_1,param_2\n1,2\n")
    with pytest.raises(ArmillaryError, match=r"text: record 1 at byte 0 .* no TFRecord file"):
        import_prime_tfrecords([path], "m4", SPACE)
    with pytest.raises(ArmillaryError, match=r"cannot read .*none: No such file"):
        import_prime_tfrecords([tmp_path / "none"], "m4", SPACE)
    with pytest.raises(ArmillaryError, match="no TFRecord files to import"):
        import_prime_tfrecords([], "m4", SPACE)


def test_a_record_that_is_no_example_is_refused(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(framed(b"\x0a\xff"))
    with pytest.raises(ArmillaryError, match=r"odd: record 1 is no tf\.train\.Example"):
        import_prime_tfrecords([path], "m4", SPACE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"param_3": float_feature(5)}, "param_3=5 is not allowed; choose one of [4, 8, 16, 32, 64, 128, 256] (lanes)"),
        ({"param_3": float_feature(float("nan"))}, "param_3=nan is not allowed; a parameter is a number"),
        ({"param_1": float_feature(1, 2)}, "param_1 must hold one float, it holds float_list [1.0, 2.0]"),
        ({"param_1": int_feature(1)}, "param_1 must hold one float, it holds int64_list [1]"),
        ({"param_1": b""}, "param_1 must hold one float, it holds nothing"),
        ({"runtime": float_feature(-1)}, "runtime=-1 is not allowed; a feasible record states a positive number"),
        ({"runtime": float_feature(float("nan"))}, "runtime=nan is not allowed; a feasible record states"),
        ({"area": b""}, "area=nan is not allowed; a feasible record states"),
        ({"area": int_feature(27)}, "area must hold one float, it holds int64_list [27]"),
        ({"infeasible": int_feature(2)}, "infeasible must hold one integer, 0 or 1; it holds int64_list [2]"),
        ({"infeasible": float_feature(1)}, "infeasible must hold one integer, 0 or 1; it holds float_list [1.0]"),
    ],
)
def test_a_fault_names_file_record_feature_value_and_what_is_allowed(tfrecord, change, message):
    path = tfrecord(features(), {**features(), **change})
    with pytest.raises(ArmillaryError, match=re.escape(f"{path}: record 2: {message}")):
        import_prime_tfrecords([path], "m4", SPACE)


def test_a_missing_feature_is_named(tfrecord):
    record = features()
    del record["param_7"]
    with pytest.raises(ArmillaryError, match="record 1: param_7 must hold one float, it holds nothing"):
        import_prime_tfrecords([tfrecord(record)], "m4", SPACE)


def test_faults_of_all_files_are_told_at_once(tfrecord):
    paths = [tfrecord(features(param_1=3), name="a"), tfrecord(features(), features(param_2=5), name="b")]
    with pytest.raises(ArmillaryError, match=r"(?s)2 faults.*/a: record 1: param_1=3.*/b: record 2: param_2=5"):
        import_prime_tfrecords(paths, "m4", SPACE)


def test_another_space_does_not_fit(tfrecord):
    with pytest.raises(ArmillaryError, match=r"does not fit space 'x' with parameters \['a'\]; it has \['pes_x', "):
        import_prime_tfrecords([tfrecord()], "m4", Space("x", (Parameter("a", (1,)),)))
