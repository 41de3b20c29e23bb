"""The memories of an accelerator: what a designer replaces by macros."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

from armillary.hardware.rtl.gemmini.commands import ENTRIES, MOST_LOOPS, MOST_MOVE_LOOPS
from armillary.hardware.templates.gemmini import Accelerator

_FIELD = 18  # bits of a command's coordinates
_FETCHED_BITS = 2 * 256 * 8
_WALKS = {
    "weight_stationary": {"pixels": 4 * _FIELD, "tiles": 0},
    "output_stationary": {"pixels": 3 * _FIELD, "weights": 0, "outputs": 0},
}
"""The nests of a dataflow's walk, and the bits of their jumps; 0 for those of a row."""
_SCOPES = {
    "weight_stationary": {"g_weights.walk": "weight_stationary"},
    "output_stationary": {"g_outputs.walk": "output_stationary"},
    "both": {"g_either.weight_walk": "weight_stationary", "g_either.output_walk": "output_stationary"},
}
"""Where the walks of a dataflow lie in the execute unit."""


@dataclass(frozen=True)
class Memory:
    """Memories of one size.

    Attributes:
        instance: path in the top module; `*` stands for the banks' numbers.
        module: `sram_1rw`, whose port reads or writes, or `sram_1r1w`, which has one for each.
        words: of each.
        bits: of a word.
        count: how many.
    """

    instance: str
    module: str
    words: int
    bits: int
    count: int = 1


def memories(accelerator: Accelerator) -> list[Memory]:
    """Return all memories of an accelerator."""
    return [*_data(accelerator), *_activations(accelerator), *_loop_tables(accelerator), *_queues(accelerator)]


def table(accelerator: Accelerator) -> str:
    """Return the memories as CSV, with a line of titles."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([field.name for field in fields(Memory)])
    rows.writerows(astuple(memory) for memory in memories(accelerator))
    return text.getvalue()


def _data(accelerator: Accelerator) -> Iterator[Memory]:
    for name, module, rows, banks, bits in (
        ("scratchpad", "sram_1rw", accelerator.scratchpad_rows, accelerator.scratchpad_banks, 8),
        ("accumulator", "sram_1r1w", accelerator.accumulator_rows, accelerator.accumulator_banks, 32),
    ):
        yield Memory(f"core.{name}.g_bank[*].memory", module, -(-rows // banks), bits * accelerator.dim, banks)


def _activations(accelerator: Accelerator) -> Iterator[Memory]:
    if accelerator.activation_tables:
        path = "core.store.g_tables.lookup.g_lane[*].memory"
        yield Memory(path, "sram_1rw", ENTRIES, 8, accelerator.dim)


def _row_bits(accelerator: Accelerator) -> int:
    """Return the bits of a row of either memory, or of the tables, or of a number of rows."""
    tables = ENTRIES if accelerator.activation_tables else 0
    return (max(accelerator.scratchpad_rows, accelerator.accumulator_rows, tables) - 1).bit_length() + 1


def _loop_tables(accelerator: Accelerator) -> Iterator[Memory]:
    row, slots = _row_bits(accelerator), accelerator.queue_depth + 1
    nests = {
        f"execute.{scope}.{name}": (MOST_LOOPS, bits or row)
        for scope, dataflow in _SCOPES[accelerator.dataflow].items()
        for name, bits in _WALKS[dataflow].items()
    }
    nests |= {f"{unit}.runs": (MOST_MOVE_LOOPS, 64) for unit in ("load", "store")}
    for name, (loops, bits) in nests.items():
        words = slots << (loops - 1).bit_length()
        yield Memory(f"core.{name}.counts", "sram_1r1w", words, row)
        yield Memory(f"core.{name}.jumps", "sram_1r1w", words, bits)


def _queues(accelerator: Accelerator) -> Iterator[Memory]:
    row, words = _row_bits(accelerator), max(2, accelerator.queue_depth)
    moves = 4 + 3 * row + 32
    for unit, bits in (
        ("load", moves + 17),
        ("execute", 6 + 3 * row + 4 * _FIELD + 60),
        ("store", moves + 61 + accelerator.activation_tables),
    ):
        yield Memory(f"core.{unit}_queue.memory", "sram_1r1w", words, bits)
    yield Memory("core.execute.targets.memory", "sram_1r1w", 2 * accelerator.dim + 1, row + 2)
    entry = 8 * max(8, accelerator.bus_bytes)
    yield Memory("core.fetch.memory", "sram_1r1w", _FETCHED_BITS // entry, entry)
