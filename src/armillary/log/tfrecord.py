"""Reading TFRecord files of `tf.train.Example` without TensorFlow.

Source: TensorFlow's documents "TFRecord and tf.train.Example" and `tensorflow/core/example/*.proto`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from armillary.types import ArmillaryError

BATCH_RECORDS = 8192  # records that are passed on together
MOST_RECORD_BYTES = 64 << 20
"""The largest record that is read; one of PRIME's dataset has under a kilobyte."""

_HEADER = struct.Struct("<QI")  # length in bytes, masked CRC of its eight bytes
_FOOTER = struct.Struct("<I")  # masked CRC of the data
_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True)
class Record:
    """One record: its number in the file (from 1), the byte offset at which it starts, and its data."""

    number: int
    offset: int
    data: bytes


def read_records(path: Path) -> Iterator[list[Record]]:
    """Yield the records of a TFRecord file in batches, checksums verified.

    Raises:
        ArmillaryError: if the file cannot be read, is cut short, has a record of more than `MOST_RECORD_BYTES`, or a
            checksum does not hold; names the file, the record and the byte offset.
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
            yield batch
            batch = []
    yield batch


def _framed(path: Path, file: BinaryIO) -> Iterator[Record]:
    number, offset = 1, 0
    size = os.fstat(file.fileno()).st_size
    while header := file.read(_HEADER.size):
        place = f"{path}: record {number} at byte {offset}"
        if len(header) < _HEADER.size:
            raise ArmillaryError(f"{place} is cut short: its header has {len(header)} of {_HEADER.size} bytes")
        length, length_crc = _HEADER.unpack(header)
        if masked_crc(header[:8]) != length_crc:
            raise ArmillaryError(f"{place} has a wrong length checksum: the file is damaged or no TFRecord file")
        needed, left = length + _FOOTER.size, size - offset - _HEADER.size
        if left < needed:  # asked before it is read: a length is only a claim
            raise ArmillaryError(f"{place} is cut short: its data and checksum have {left} of {needed} bytes")
        if length > MOST_RECORD_BYTES:
            raise ArmillaryError(f"{place} has {length:,} bytes; at most {MOST_RECORD_BYTES:,} are read")
        data = file.read(length)
        if masked_crc(data) != _FOOTER.unpack(file.read(_FOOTER.size))[0]:
            raise ArmillaryError(f"{place} has a wrong data checksum: the file is damaged")
        yield Record(number, offset, data)
        number, offset = number + 1, offset + _HEADER.size + needed


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of data in the form that TFRecord stores: rotated right by 15 bits, plus a constant."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


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
