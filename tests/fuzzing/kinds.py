"""The kinds of files that come from strangers: examples of each, how they are changed, and all that reads them."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from google.protobuf.message import DecodeError

from armillary.types import ArmillaryError

Reader = Callable[[Path], object]
Mutate = Callable[[bytes, int], bytes]
"""libFuzzer's own change of bytes, at most as many as the second argument says."""
JUNK = (None, "", "x", 0, -1, 1.5, 1e400, float("nan"), 10**30, True, [], [[]], {}, {"a": 1})
_FRAME, _CRC_BYTES = struct.Struct("<QI"), 4


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of it.
        suffix: of its files.
        examples: small files that are right, to begin from.
        readers: makes what reads such a file; each raises `ArmillaryError` for one that it refuses.
        change: what bytes changed at random would never reach, because a checksum or a parser stands before it.
    """

    name: str
    suffix: str
    examples: Callable[[], list[bytes]]
    readers: Callable[[], tuple[Reader, ...]]
    change: Callable[[bytes, int, random.Random, Mutate], bytes] | None = None


def _onnx_examples() -> list[bytes]:
    from workloads.onnx.damaged_models import small_models

    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    weights = onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    shape = onnx.numpy_helper.from_array(np.array([1, -1]), "s")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["c"], ["r"]),
        onnx.helper.make_node("Reshape", ["r", "s"], ["y"]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], [weights, shape])
    return [onnx.helper.make_model(graph).SerializeToString(), *small_models()]


def _onnx_readers() -> tuple[Reader, ...]:
    from armillary.workloads.onnx.importer import import_onnx

    return (lambda path: import_onnx(path, {}),)


def _onnx_change(content: bytes, most: int, rng: random.Random, mutate: Mutate) -> bytes:
    from workloads.onnx.damaged_models import rewired

    with suppress(DecodeError, ValueError, IndexError, TypeError):
        return rewired(content, np.random.default_rng(rng.randrange(2**32)))
    return mutate(content, most)


def _yaml_examples() -> list[bytes]:
    from problems.test_problem_file import GOOD
    from test_malformed_files import KINDS

    return [GOOD.encode(), *(text.encode() for text, _ in KINDS.values())]


def _yaml_readers() -> tuple[Reader, ...]:
    from armillary.evaluators.physical.enablement import enablement
    from armillary.hardware.templates.edge_tpu import SPACE
    from armillary.problems.problem_file import read_problem
    from armillary.studies.design_file import read_design
    from test_malformed_files import KINDS

    return (
        read_problem,
        lambda path: enablement(str(path)),
        lambda path: read_design(path, SPACE),
        *(load for _, load in KINDS.values()),
    )


@cache
def _rows() -> Any:
    from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
    from armillary.hardware.templates.edge_tpu import SPACE
    from armillary.spaces.samplers import sample
    from armillary.workloads import zoo

    return EdgeTpuEvaluator().evaluate_codes(sample(SPACE, 300, "random", 0), zoo.build("mobilenet_v2"))


def _parquet_examples() -> list[bytes]:
    from armillary.log.fragments import write_parquet
    from armillary.log.schema import EVALUATIONS, to_table

    file = io.BytesIO()
    write_parquet(to_table(_rows().select(np.arange(8)), EVALUATIONS), file)
    return [file.getvalue()]


def _parquet_readers() -> tuple[Reader, ...]:
    from armillary.log.checking import check
    from armillary.log.query import query
    from armillary.log.sheet import read_table
    from armillary.log.store import Log

    def read_log(path: Path) -> None:
        log = Log(path.parent)
        check(log)
        for space in log.spaces():
            log.to_dataframe(space)
        with suppress(ArmillaryError):
            query(log.path, "SELECT count(*), min(seconds) FROM log")

    return read_log, read_table


def _parquet_change(content: bytes, most: int, rng: random.Random, mutate: Mutate) -> bytes:
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError):
        return mutate(content, most)
    metadata = dict(table.schema.metadata or {})
    names = table.column_names
    how = rng.randrange(5)
    if how < 2 and metadata:
        key = rng.choice(sorted(metadata))
        metadata[key] = mutate(metadata[key], 4000) if how else _odd_json(metadata[key], rng)
    elif names:
        at = rng.randrange(len(names))
        if how == 2:
            table = table.drop_columns([names[at]])
        elif how == 3:
            table = table.set_column(at, rng.choice([*names, "x", names[at]]), table.column(rng.randrange(len(names))))
        else:
            odd = rng.choice([None, "x", -1, 1e400, float("nan"), b"\xff", [1], {"a": 1}, True])
            table = table.set_column(at, names[at], pa.array([odd] * table.num_rows))
    file = io.BytesIO()
    try:
        pq.write_table(table.replace_schema_metadata(metadata), file)
    except (pa.ArrowException, UnicodeError):
        return mutate(content, most)
    return file.getvalue()


def _odd_json(content: bytes, rng: random.Random) -> bytes:
    """Change one value of JSON."""
    try:
        tree = json.loads(content)
    except ValueError:
        return content
    places = list(_places(tree))
    if not places:
        return content
    inside, key = rng.choice(places)
    inside[key] = rng.choice(JUNK)
    return json.dumps(tree).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs:
        yield tree, key
        yield from _places(value)


def _csv_examples() -> list[bytes]:
    import tempfile

    from armillary.log.exchange import export_csv
    from armillary.log.store import Log
    from log.test_own_rows import BAD, GOOD, HEADER

    with tempfile.TemporaryDirectory() as folder:
        Log(f"{folder}/log").append(_rows().select(np.arange(8)))
        export_csv(Log(f"{folder}/log"), f"{folder}/rows.csv")
        return [Path(f"{folder}/rows.csv").read_bytes(), "\n".join([HEADER, GOOD, BAD]).encode()]


def _csv_readers() -> tuple[Reader, ...]:
    import tempfile

    from armillary.hardware.templates.edge_tpu import SPACE
    from armillary.log.exchange import import_csv
    from armillary.log.own_rows import read_own_rows
    from armillary.log.sheet import read_table
    from armillary.problems.problem_file import read_problem
    from armillary.studies.guessing import guess, problem_text
    from log.test_own_rows import PROBLEM

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "problem.yaml")
        file.write_text(PROBLEM)
        problem = read_problem(file)

    def guessed(path: Path) -> None:
        sheet = read_table(path)
        problem_text("p", guess(sheet), str(path), sheet)

    return (
        lambda path: import_csv(path, SPACE, workload="w"),
        lambda path: read_own_rows(path, problem),
        guessed,
    )


def _tfrecord_examples() -> list[bytes]:
    from log.test_prime_dataset import example, features, framed

    return [framed(example(features())) + framed(example(features(infeasible=1)))]


def _tfrecord_readers() -> tuple[Reader, ...]:
    from armillary.hardware.templates.edge_tpu import SPACE
    from armillary.log.prime_dataset import import_prime_tfrecords

    return (lambda path: import_prime_tfrecords([path], "w", SPACE),)


def _tfrecord_change(content: bytes, most: int, rng: random.Random, mutate: Mutate) -> bytes:
    """Change the data of a record and make its checksums right again."""
    from log.test_prime_dataset import framed

    records, offset = [], 0
    while offset + _FRAME.size <= len(content):
        length = _FRAME.unpack_from(content, offset)[0]
        if length > len(content):
            break
        records.append(content[offset + _FRAME.size : offset + _FRAME.size + length])
        offset += _FRAME.size + length + _CRC_BYTES
    if not records:
        return mutate(content, most)
    at = rng.randrange(len(records))
    records[at] = mutate(records[at], most)
    return b"".join(map(framed, records))


_SAIF = b"""(SAIFILE (SAIFVERSION "2.0") (DIRECTION "backward") (DURATION 100)
(INSTANCE TOP (NET (clk (T0 50) (T1 50) (TX 0) (TC 100)) (count\\[0\\] (T0 1) (T1 2) (TC 3)))
 (INSTANCE dut (NET (q (T0 10) (T1 90) (TC 7))))))
"""


def _saif_readers() -> tuple[Reader, ...]:
    from armillary.evaluators.physical.activity import toggles

    return lambda path: toggles(path, ""), lambda path: toggles(path, "TOP.dut")


def _liberty_examples() -> list[bytes]:
    from evaluators.physical.test_liberty import TEXT

    return [TEXT.encode()]


def _liberty_readers() -> tuple[Reader, ...]:
    from armillary.evaluators.physical.activity import functions_of
    from armillary.evaluators.physical.liberty import cells_of, read_liberty

    return lambda path: cells_of(read_liberty(path)), functions_of.__wrapped__  # which remembers files by their names


_LEF = b"""VERSION 5.8 ;
UNITS DATABASE MICRONS 2000 ; END UNITS
SITE core
  SYMMETRY y ; CLASS core ; SIZE 0.19 BY 1.4 ;
END core
LAYER metal2
  TYPE ROUTING ; DIRECTION VERTICAL ;
  PITCH 0.19 ;
  OFFSET 0.095 0.07 ;
  WIDTH 0.07 ;
  RESISTANCE RPERSQ 0.25 ;
  CAPACITANCE CPERSQDIST 4.1e-05 ;
  EDGECAPACITANCE 5e-05 ;
END metal2
MACRO INV
  CLASS core ; SIZE 0.38 BY 1.4 ;
  PIN A
    DIRECTION INPUT ; USE SIGNAL ;
    PORT LAYER metal1 ; RECT 0.1 0.2 0.3 0.4 ; POLYGON 0 0 0.2 0 0.2 0.2 0.4 0.2 0.4 0.4 0 0.4 ; END
  END A
  PIN VDD
    USE POWER ; PORT LAYER metal1 ; RECT 0 1.3 0.38 1.5 ; END
  END VDD
END INV
END LIBRARY
"""


def _lef_readers() -> tuple[Reader, ...]:
    from armillary.evaluators.physical.lef import read_cells, read_layers, read_pins, read_site, site_name
    from armillary.evaluators.physical.pin_shapes import read_shapes

    return read_layers, read_cells, read_site, site_name, read_pins, lambda path: read_shapes(path, "metal1")


def _models() -> dict[str, bytes]:
    """Return a model file of each kind that is trained in a moment."""
    from armillary.hardware.templates.edge_tpu import TEMPLATE
    from armillary.log.store import InMemoryLog
    from armillary.surrogates.deep_ensemble import DeepEnsemble
    from armillary.surrogates.hurdle import Hurdle

    problem = TEMPLATE.problem("runtime_s", {"area_mm2": 29.0})
    found = {}
    for name, kind in (("deep-ensemble", DeepEnsemble), ("hurdle", Hurdle)):
        model = kind(space=problem.space, seed=0, steps=5, steps_per_workload=0, members=2)
        file = io.BytesIO()
        model.fit(InMemoryLog(_rows()), problem).save(file)
        found[name] = file.getvalue()
    return found


def _model_readers() -> tuple[Reader, ...]:
    from armillary import surrogates
    from armillary.hardware.templates.edge_tpu import SPACE

    return (lambda path: surrogates.read(path, SPACE),)


def _model_change(content: bytes, most: int, rng: random.Random, mutate: Mutate) -> bytes:
    try:
        held = torch.load(io.BytesIO(content), weights_only=True)
        metadata, weights = held["metadata"].encode(), dict(held["weights"])
    except Exception:  # whatever torch raises: these are changed files
        return mutate(content, most)
    name = rng.choice(sorted(weights))
    how = rng.randrange(5)
    if how < 3:
        metadata = mutate(metadata, most) if how == 2 else _odd_json(metadata, rng)
    elif how == 3:
        weights[name] = rng.choice(
            [torch.zeros(2, 0), weights[name].double(), weights[name].flatten(), weights[name][:1], torch.tensor(1)]
        )
    else:
        del weights[name]
    file = io.BytesIO()
    torch.save({"metadata": metadata.decode("utf-8", "replace"), "weights": weights}, file)
    return file.getvalue()


KINDS = (
    Kind("onnx", ".onnx", _onnx_examples, _onnx_readers, _onnx_change),
    Kind("yaml", ".yaml", _yaml_examples, _yaml_readers),
    Kind("parquet", ".parquet", _parquet_examples, _parquet_readers, _parquet_change),
    Kind("csv", ".csv", _csv_examples, _csv_readers),
    Kind("tfrecord", ".tfrecord", _tfrecord_examples, _tfrecord_readers, _tfrecord_change),
    Kind("saif", ".saif", lambda: [_SAIF], _saif_readers),
    Kind("liberty", ".lib", _liberty_examples, _liberty_readers),
    Kind("lef", ".lef", lambda: [_LEF], _lef_readers),
    Kind("model", ".pt", lambda: list(_models().values()), _model_readers, _model_change),
)
