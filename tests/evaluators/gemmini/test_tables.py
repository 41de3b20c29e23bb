"""Tables of the store unit: what they make of bytes, when they change, and that hazards know of them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.hardware.rtl.gemmini.arithmetic import Conversion, converted
from armillary.hardware.rtl.gemmini.commands import (
    ENTRIES,
    Moves,
    NestLoop,
    Scaled,
    Window,
    Words,
    end,
    table_load,
    tables_of,
)
from armillary.hardware.rtl.gemmini.layout import FETCHED, aligned, program_bytes
from armillary.hardware.templates.gemmini import Accelerator
from evaluators.gemmini.random_programs import ACCELERATORS

WITH_TABLES = [replace(accelerator, activation_tables=1) for accelerator in ACCELERATORS]
NARROW = Accelerator(  # a row number has fewer bits than a byte but for the tables
    dim=6, scratchpad_kib=1, accumulator_kib=1, bus_bytes=8, queue_depth=4, activation_tables=1
)
ROWS, ZERO = 20, np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class Commands:
    words: Words
    address: int
    dram_bytes: int


def one(value):
    return ZERO + value


def run(accelerator, bytes_, tables, *, full=False, backpressure=0, unknown="fast", seed=None):
    """Store rows of bytes through one table after another, and as they are, and return what DRAM holds, [n, rows, dim].

    No command waits for another but by hazards.
    """
    dim, pitch, how = accelerator.dim, accelerator.pitch, Conversion(1, floating=True)
    dram = np.zeros((ROWS + len(tables) * ENTRIES, pitch), dtype=np.int8)
    dram[:ROWS, :dim] = bytes_
    dram[ROWS:, :dim] = np.concatenate(tables)
    out = aligned(dram.size, FETCHED)
    size = aligned(ROWS * pitch, FETCHED)
    nothing, held = (ZERO, ZERO), (ZERO, one(ROWS))
    words = [Moves((), ROWS, ZERO, ZERO, [nothing, nothing, held]).loads(to_accumulator=True, scaled=Scaled())]
    looks = tables_of(accelerator.scratchpad_rows, ZERO)
    for number in range(len(tables)):
        address = (ROWS + number * ENTRIES) * pitch
        words.append(table_load(address, accelerator.scratchpad_rows, accelerator.accumulator_rows).reshape(1, -1))
        moves = Moves((), ROWS, ZERO, one(out + number * size), [looks, nothing, held])
        words.append(moves.stores(how, looks_up=True))
    words.append(Moves((), ROWS, ZERO, one(out + len(tables) * size), [nothing, nothing, held]).stores(how))
    stream = np.concatenate([*(each.reshape(-1) for each in words), end()])
    at = out + (len(tables) + 1) * size
    job = Job(
        accelerator, Commands(stream, at, at + program_bytes(len(stream))), dram.view(np.uint8).reshape(-1),
        most_cycles=200_000, wants_dram=True, backpressure=backpressure,
    )  # fmt: skip
    result = simulate(simulator(accelerator, full=full, unknown=unknown), job, seed=seed)
    found = [result.dram[out + n * size :][: ROWS * pitch] for n in range(len(tables) + 1)]
    return np.stack(found).view(np.int8).reshape(len(found), ROWS, pitch)[..., :dim], result.cycles


def given(accelerator, seed, tables=3):
    rng = np.random.default_rng(seed)
    bytes_ = rng.integers(-128, 128, (ROWS, accelerator.dim)).astype(np.int8)
    bytes_[:2] = [[-128], [127]]
    return bytes_, [rng.integers(-128, 128, (ENTRIES, accelerator.dim)).astype(np.int8) for _ in range(tables)]


def expected(bytes_, tables):
    lanes = np.arange(bytes_.shape[1])
    return np.stack([*(table[bytes_.view(np.uint8), lanes] for table in tables), bytes_])


@pytest.mark.parametrize("backpressure", [0, 1, 2, 3])
@pytest.mark.parametrize("accelerator", [WITH_TABLES[0], WITH_TABLES[1], NARROW], ids=["4", "6", "narrow"])
def test_every_store_sees_the_table_that_was_loaded_before_it(accelerator, backpressure):
    bytes_, tables = given(accelerator, backpressure)
    found, _ = run(accelerator, bytes_, tables, backpressure=backpressure)
    np.testing.assert_array_equal(found, expected(bytes_, tables))


def test_every_multiplier_as_hardware_changes_nothing():
    bytes_, tables = given(WITH_TABLES[0], 9)
    found, cycles = run(WITH_TABLES[0], bytes_, tables, full=True, backpressure=5)
    np.testing.assert_array_equal(found, expected(bytes_, tables))
    assert cycles == run(WITH_TABLES[0], bytes_, tables, backpressure=5)[1]


def test_what_tables_hold_at_the_start_does_not_matter():
    bytes_, tables = given(WITH_TABLES[0], 4, tables=1)
    for seed in (1, 2):
        found, _ = run(WITH_TABLES[0], bytes_, tables, unknown="unique", seed=seed)
        np.testing.assert_array_equal(found, expected(bytes_, tables))


def test_a_table_is_looked_up_behind_window_and_conversion():
    accelerator, rng = WITH_TABLES[0], np.random.default_rng(0)
    dim, pitch = accelerator.dim, accelerator.pitch
    how = Conversion(float(np.float32(0.37)), floating=True)
    sums, table = rng.integers(-400, 400, (12, dim)).astype(np.int32), rng.integers(-128, 128, ENTRIES).astype(np.int8)
    dram = np.concatenate([
        np.pad(sums, ((0, 0), (0, pitch - dim))).reshape(-1).view(np.uint8), np.repeat(table, pitch).view(np.uint8),
    ])  # fmt: skip
    out, nothing, held = aligned(dram.size, FETCHED), (ZERO, ZERO), (ZERO, one(12))
    looks = tables_of(accelerator.scratchpad_rows, ZERO)
    loops = [NestLoop(3, {"row": 1, "address": 0}), NestLoop(4, {"row": 3, "address": pitch})]
    words = [
        Moves((), 12, ZERO, ZERO, [nothing, nothing, held]).loads(to_accumulator=True),
        table_load(12 * 4 * pitch, accelerator.scratchpad_rows, accelerator.accumulator_rows),
        Moves(loops, 1, ZERO, one(out), [looks, nothing, held]).stores(how, Window(1), looks_up=True),
        end(),
    ]
    stream, at = np.concatenate([each.reshape(-1) for each in words]), out + FETCHED
    job = Job(accelerator, Commands(stream, at, at + program_bytes(len(stream))), dram, 100_000, wants_dram=True)
    found = simulate(simulator(accelerator), job).dram[out:][: 4 * pitch].view(np.int8).reshape(4, pitch)[:, :dim]
    bytes_ = converted(sums.reshape(4, 3, dim).max(axis=1), how)
    np.testing.assert_array_equal(found, table[bytes_.view(np.uint8)])
