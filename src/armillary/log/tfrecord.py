"""Reading TFRecord files of `tf.train.Example` without TensorFlow.

Source: TensorFlow's documents "TFRecord and tf.train.Example" and `tensorflow/core/example/*.proto`;
CRC-32C is that of RFC 3720 (polynomial 0x1EDC6F41, reflected).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

from armillary.types import ArmillaryError

BATCH_RECORDS = 8192  # records whose checksums are computed together
_HEADER = struct.Struct("<QI")  # length in bytes, masked CRC of its eight bytes
_FOOTER = struct.Struct("<I")  # masked CRC of the data
_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41 with its bits reversed
_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True)
class Record:
    """One record: its number in the file (from 1), the byte offset at which it starts, and its data."""

    number: int
    offset: int
    data: bytes
    masked_crc: int


def read_records(path: Path) -> Iterator[list[Record]]:
    """Yield the records of a TFRecord file in batches, checksums verified.

    Raises:
        ArmillaryError: if the file cannot be read, is cut short, or a checksum does not hold; names the
            file, the record and the byte offset.
    """
    try:
        with open(path, "rb") as file:
            yield from _batches(path, file)
    except OSError as fault:
        raise ArmillaryError(f"cannot read {path}: {fault.strerror or fault}") from fault


def _batches(path: Path, file: BinaryIO) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in _framed(path, file):
        batch.append(record)
        if len(batch) == BATCH_RECORDS:
            _verify(path, batch)
            yield batch
            batch = []
    _verify(path, batch)
    yield batch


def _framed(path: Path, file: BinaryIO) -> Iterator[Record]:
    number, offset = 1, 0
    while header := file.read(_HEADER.size):
        place = f"{path}: record {number} at byte {offset}"
        if len(header) < _HEADER.size:
            raise ArmillaryError(f"{place} is cut short: its header has {len(header)} of {_HEADER.size} bytes")
        length, length_crc = _HEADER.unpack(header)
        if _masked_length_crc(length) != length_crc:
            raise ArmillaryError(f"{place} has a wrong length checksum: the file is damaged or no TFRecord file")
        needed = length + _FOOTER.size
        body = file.read(needed)
        if len(body) < needed:
            raise ArmillaryError(f"{place} is cut short: its data and checksum have {len(body)} of {needed} bytes")
        yield Record(number, offset, body[:length], _FOOTER.unpack_from(body, length)[0])
        number, offset = number + 1, offset + _HEADER.size + needed


def _verify(path: Path, records: Sequence[Record]) -> None:
    by_length: dict[int, list[Record]] = {}
    for record in records:
        by_length.setdefault(len(record.data), []).append(record)
    for length, group in by_length.items():
        data = np.frombuffer(b"".join(record.data for record in group), dtype=np.uint8).reshape(len(group), length)
        stated = np.array([record.masked_crc for record in group], dtype=np.uint32)
        wrong = np.flatnonzero(masked(crc32c(data)) != stated)
        if wrong.size:
            record = group[int(wrong[0])]
            raise ArmillaryError(
                f"{path}: record {record.number} at byte {record.offset} has a wrong data checksum: the file is damaged"
            )


def crc32c(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the CRC-32C of each row of `data`, shape [records, bytes]; one pass serves all rows."""
    table = _crc_table()
    crc = np.full(data.shape[0], 0xFFFFFFFF, dtype=np.uint32)
    for column in np.ascontiguousarray(data.T):
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    inverted: NDArray[np.uint32] = ~crc
    return inverted


def masked(crc: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return checksums in the form that TFRecord stores: rotated right by 15 bits, plus a constant."""
    rotated: NDArray[np.uint32] = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return rotated + np.uint32(_MASK_DELTA)


@lru_cache(maxsize=1)
def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


@lru_cache(maxsize=4096)  # records of one writer have few lengths
def _masked_length_crc(length: int) -> int:
    data = np.frombuffer(struct.pack("<Q", length), dtype=np.uint8)[None]
    return int(masked(crc32c(data))[0])


@lru_cache(maxsize=1)
def example_class() -> Any:
    """Return the protobuf message class of `tf.train.Example`, built from its published definition."""
    file = descriptor_pb2.FileDescriptorProto(name="armillary/example.proto", package="armillary", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), start=1):
        feature.field.add(name=name, number=number, oneof_index=0, **_message(_camel(name)))
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, **_message("Feature"))
    features.field.add(name="feature", number=1, **_message("Features.FeatureEntry", field.LABEL_REPEATED))
    file.message_type.add(name="Example").field.add(name="features", number=1, **_message("Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("armillary.Example"))


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _message(name: str, label: Any = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL) -> Mapping[str, Any]:
    kind = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    return {"type": kind, "type_name": f".armillary.{name}", "label": label}
