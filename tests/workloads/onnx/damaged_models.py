"""Damaged models, and how they are taken."""

from __future__ import annotations

import gzip
import resource
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import onnx

from armillary.types import ArmillaryError
from armillary.workloads.onnx.importer import import_onnx

CASES = sorted((Path(__file__).parents[4] / "shared" / "data" / "onnx_cases").glob("*.onnx"))
MOST_BYTES = 40_000
SECONDS, MEMORY = 10, 2 * 2**30


def small_models() -> list[bytes]:
    return [content for path in CASES if len(content := path.read_bytes()) < MOST_BYTES]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, drop, insert or repeat bytes; or exchange, drop or repeat what the graph holds."""
    kind = rng.integers(8)
    data = bytearray(content)
    if kind < 3:
        for place in rng.integers(len(data), size=rng.integers(1, 12)):
            data[place] = rng.integers(256)
    elif kind == 3:
        at, size = rng.integers(len(data)), rng.integers(1, 40)
        del data[at : at + size]
    elif kind == 4:
        at, size = rng.integers(len(data)), rng.integers(1, 40)
        data[at:at] = data[at : at + size]
    else:
        return rewired(content, rng)
    return gzip.compress(bytes(data)) if rng.integers(20) == 0 else bytes(data)


def rewired(content: bytes, rng: np.random.Generator) -> bytes:
    model = onnx.ModelProto.FromString(content)
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)] + [""]
    for _ in range(rng.integers(1, 4)):
        node = graph.node[rng.integers(len(graph.node))]
        kind = rng.integers(8)
        if kind == 0 and node.input:
            node.input[rng.integers(len(node.input))] = names[rng.integers(len(names))]
        elif kind == 1 and node.output:
            node.output[rng.integers(len(node.output))] = names[rng.integers(len(names))]
        elif kind == 2:
            node.op_type = graph.node[rng.integers(len(graph.node))].op_type
        elif kind == 3 and node.attribute:
            attribute = node.attribute[rng.integers(len(node.attribute))]
            attribute.i = int(rng.integers(-5, 2**62, endpoint=True))
            attribute.ints[:] = [int(i) for i in rng.integers(-3, 9, size=rng.integers(5))]
            attribute.type = int(rng.integers(1, 9))
        elif kind == 4 and node.input:
            del node.input[rng.integers(len(node.input))]
        elif kind == 5 and graph.initializer:
            tensor = graph.initializer[rng.integers(len(graph.initializer))]
            tensor.dims[:] = [int(i) for i in rng.choice([0, 1, 2, 3, 2**40, -1], size=rng.integers(6))]
        elif kind == 6:
            model.opset_import[0].version = int(rng.integers(1, 40))
        elif graph.input:
            value = graph.input[rng.integers(len(graph.input))]
            for dimension in value.type.tensor_type.shape.dim:
                dimension.dim_value = int(rng.choice([0, 1, 2, 7, 2**31, 2**62]))
    return model.SerializeToString()


def mutants(count: int, seed: int) -> Iterator[bytes]:
    rng, models = np.random.default_rng(seed), small_models()
    for _ in range(count):
        yield damaged(models[rng.integers(len(models))], rng)


def attempt(path: Path) -> str:
    """Return what is wrong with how a file is taken, empty if nothing is."""
    try:
        import_onnx(path, {})
    except ArmillaryError as fault:
        return "" if str(fault).startswith(str(path)) else f"the message does not name the file: {fault}"
    except BaseException:
        return traceback.format_exc()
    return ""


def ring(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


def share(seed: int, count: int, folder: Path) -> list[str]:
    """Try files in a process with a limit of memory, and of time for each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, ring)
    path, found = folder / f"damaged_{seed}.onnx", []
    for number, content in enumerate(mutants(count, seed)):
        path.write_bytes(content)
        signal.alarm(SECONDS)
        wrong = attempt(path)
        signal.alarm(0)
        if wrong:
            found.append(f"file {number} of seed {seed}: {wrong}")
    return found
