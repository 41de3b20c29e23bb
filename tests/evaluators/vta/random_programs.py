"""Programs of random commands, each module's kept apart from the next's by tokens."""

from dataclasses import replace

import numpy as np

from armillary.hardware.rtl.vta.commands import OPERATIONS, Alu, Gemm, Move, encoded, uop_word

_PART = 1 << 14
"""Bytes of DRAM that inputs, weights, sums, micro-operations and outputs have each; then comes the program."""
PROGRAM = 5 * _PART


def random_program(accelerator, rng, count):
    """Return commands and the DRAM that they begin with; every buffer is filled first."""
    tiles = {**accelerator.tiles, "output": accelerator.tiles["accumulator"]}
    tiles["uop"] = tiles["uop"] * 4 // accelerator.bus_bytes
    fill = [
        Move(memory=name, tile=0, address=number * _PART, columns=tiles[name])
        for number, name in enumerate(("input", "weight", "accumulator", "uop"))
    ]
    fill.append(Alu(operation="add", constant=0, uop=0, inner=tiles["output"], target=(0, 1), writes_output=True))
    kinds = rng.choice(["input", "weight", "accumulator", "uop", "output", "gemm", "alu"], size=count)
    some = [_command(kind, accelerator, tiles, rng) for kind in kinds]
    commands = _kept_apart([*fill, *some, _command("alu", accelerator, tiles, rng), _all_outputs(tiles)])
    dram = rng.integers(0, 256, size=PROGRAM, dtype=np.uint8)
    uops = accelerator.tiles["uop"]
    words = [uop_word(*(int(rng.integers(tiles[m])) for m in ("accumulator", "input", "weight"))) for _ in range(uops)]
    dram[3 * _PART : 3 * _PART + 4 * uops] = np.array(words, dtype=np.uint32).view(np.uint8)
    return commands, np.concatenate([dram, encoded(commands).view(np.uint8), np.zeros(512, dtype=np.uint8)])


def _all_outputs(tiles):
    return Move(memory="output", tile=0, address=4 * _PART, columns=tiles["output"])


def _command(kind, accelerator, tiles, rng):
    if kind == "gemm":
        return Gemm(clears=rng.random() < 0.2, weight=_factors(rng, 64), **_steps(accelerator, rng))
    if kind == "alu":
        constant = int(rng.integers(-(1 << 15), 1 << 15)) if rng.integers(2) else None
        return Alu(operation=str(rng.choice(OPERATIONS)), constant=constant, **_steps(accelerator, rng))
    return _move(str(kind), accelerator, tiles, rng)


def _factors(rng, most):
    return int(rng.integers(most)), int(rng.choice([0, 1, rng.integers(most)]))


def _steps(accelerator, rng):
    uops = int(rng.integers(1, 6))
    outer, inner = (int(value) for value in rng.integers(1, 8, size=2))
    first = int(rng.integers(accelerator.tiles["uop"] - uops))
    factors = {"target": _factors(rng, 64), "source": _factors(rng, 64)}
    return {
        "uop": first,
        "uops": uops,
        "outer": outer,
        "inner": inner,
        "writes_output": bool(rng.integers(2)),
        **factors,
    }


def _move(memory, accelerator, tiles, rng):
    """Return a move that keeps within its buffer and its part of DRAM."""
    border = {}
    if memory in ("input", "weight") and rng.integers(2):
        border = {side: int(rng.integers(3)) for side in ("top", "bottom", "left", "right")}
    across, down = (sum(border.get(side, 0) for side in pair) for pair in (("left", "right"), ("top", "bottom")))
    columns = int(rng.integers(1, tiles[memory] // (1 + down) - across))
    rows = int(rng.integers(1, tiles[memory] // (columns + across) - down + 1))
    first = int(rng.integers(tiles[memory] - (rows + down) * (columns + across) + 1))
    bytes_ = {**accelerator.tile_bytes, "uop": accelerator.bus_bytes}[memory]
    part = ("input", "weight", "accumulator", "uop", "output").index(memory) * _PART
    stride = 0 if memory == "uop" else columns + int(rng.integers(4))
    if memory == "output" or (rows * stride) * bytes_ > _PART:
        stride = columns
    return Move(memory=memory, tile=first, address=part, rows=rows, columns=columns, stride=stride, **border)


def _kept_apart(commands):
    """Return the commands with tokens wherever the next runs on another module; between load and store one computes."""
    chain = []
    for command in commands:
        if chain and {chain[-1].module, command.module} == {"load", "store"}:
            chain.append(Alu(operation="max", uop=0, constant=0))
        chain.append(command)
    for number in range(len(chain) - 1):
        one, other = chain[number : number + 2]
        if one.module != other.module:
            forward = (one.module, other.module) in (("load", "compute"), ("compute", "store"))
            sends, takes = ("sends_next", "takes_previous") if forward else ("sends_previous", "takes_next")
            chain[number], chain[number + 1] = replace(one, **{sends: True}), replace(other, **{takes: True})
    return chain
