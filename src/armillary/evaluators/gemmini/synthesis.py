"""Synthesis of the `gemmini` template: cells, area and timing of an accelerator's blocks on NanGate45, before layout.

Memories are macros, whose area and times are those of `hardware.sram`. All else is synthesised by Yosys and timed by
OpenSTA.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from armillary.hardware.rtl.gemmini.generator import PLATFORM, TOP, sources
from armillary.hardware.sram import SETUP_NS, access_ns, area_um2
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools.opensta import TimedMacro, end_slacks
from armillary.tools.yosys import Macro, Problem, Synthesis, synthesize
from armillary.user_cache import cache_folder

Group = Literal["array", "arithmetic", "control", "all"]
CLOCK_NS = 1.0
_WHOLE = (TOP, "core")  # modules whose instances are the blocks
_GROUP_OF: Mapping[str, Group] = {
    "systolic_array": "array",
    "convert": "arithmetic",
    "pool": "arithmetic",
    "lookup": "arithmetic",
}


@dataclass(frozen=True)
class Block:
    """Cells of one part of the accelerator.

    Attributes:
        name: the instance in the top module, the top's own cells as `accelerator`; the array and the store unit's
            arithmetic by the path of their instance.
        group: `array`, `arithmetic` of the store unit, `control`, or `all` if the design is flat.
        cells: how many.
        area_um2: of them.
        register_um2: of those that hold a bit.
    """

    name: str
    group: Group
    cells: int
    area_um2: float
    register_um2: float


@dataclass(frozen=True)
class Memory:
    """Memories of one size.

    Attributes:
        block: which block they are in.
        words: of each.
        bits: of a word.
        ports: 1, or 2 for one that reads and one that writes.
        count: how many.
        area_um2: of all of them.
    """

    block: str
    words: int
    bits: int
    ports: int
    count: int
    area_um2: float


@dataclass(frozen=True)
class Synthesized:
    """What an accelerator is made of.

    Attributes:
        blocks: its cells.
        memories: its macros.
        problems: latches, loops, wires of several drivers or none.
        cpu_s: of Yosys, with what kept modules took when they were synthesised.
        fresh: modules that had to be synthesised; the others were kept.
    """

    blocks: tuple[Block, ...]
    memories: tuple[Memory, ...]
    problems: tuple[Problem, ...]
    cpu_s: float
    fresh: int

    @property
    def cells_um2(self) -> float:
        """Area of all cells, without memories."""
        return sum(block.area_um2 for block in self.blocks)

    @property
    def memories_um2(self) -> float:
        """Area of all memories."""
        return sum(memory.area_um2 for memory in self.memories)

    def share(self, group: Group) -> float:
        """Return the part of the cells' area that a group has."""
        return sum(block.area_um2 for block in self.blocks if block.group == group) / self.cells_um2


def synthesized(accelerator: Accelerator, *, flat: bool = False) -> Synthesized:
    """Return what an accelerator is made of.

    Args:
        accelerator: which.
        flat: synthesise all modules as one, which takes far longer.

    Raises:
        ArmillaryError: if a tool is missing.
        SynthesisError: if Yosys refuses.
        AccidentError: if it is killed.
    """
    found = _synthesis(accelerator, flat)
    parts: dict[tuple[str, Group], Counter[str]] = {}
    macros: Counter[tuple[str, str]] = Counter()
    for name, group, key in _instances(found, flat):
        if key in found.macros:
            macros[name, key] += 1
            continue
        module = found.modules[key]
        own = sum(n for cell, n in module.cells.items() if cell not in found.modules and cell not in found.macros)
        part = parts.setdefault((name, group), Counter())
        part.update(cells=own, area_um2=module.area_um2, register_um2=module.register_um2)  # type: ignore[call-overload]
    blocks = tuple(Block(name, group, **part) for (name, group), part in parts.items())
    memories = tuple(_memory(name, found.macros[key], count) for (name, key), count in macros.items())
    return Synthesized(blocks, memories, found.problems, found.cpu_s, found.fresh)


def slowest_paths(accelerator: Accelerator) -> dict[str, float]:
    """Return the period in ns at which each block's slowest path is in time; a path belongs to the block it ends in.

    Before layout: the clock is ideal, and wires have no delay.

    Raises:
        ArmillaryError: if a tool is missing or refuses.
        SynthesisError: if Yosys refuses.
        AccidentError: if a tool is killed.
    """
    found = _synthesis(accelerator, flat=False)
    netlist = "\n".join(module.netlist for module in found.modules.values())
    macros = {key: _timed(macro) for key, macro in found.macros.items()}
    slacks = end_slacks(netlist, TOP, macros=macros, cache=cache_folder("synthesis"), clock_ns=CLOCK_NS)
    blocks = {name for name, _, _ in _instances(found, flat=False)}
    periods: dict[str, float] = {}
    for pin, slack in slacks.items():
        block = _block_of(pin, blocks)
        periods[block] = max(CLOCK_NS - slack, periods.get(block, 0.0))
    return dict(sorted(periods.items(), key=lambda item: -item[1]))


def _synthesis(accelerator: Accelerator, flat: bool) -> Synthesis:
    return synthesize(
        sources(accelerator),
        TOP,
        cache=cache_folder("synthesis"),
        macros=PLATFORM.memories,
        flat=flat,
        clock_ns=CLOCK_NS,
    )


def _instances(found: Synthesis, flat: bool) -> Iterator[tuple[str, Group, str]]:
    """Yield the block, its group and the module of the top module and of everything in it."""
    todo: list[tuple[str, str, Group, str]] = [("", TOP, "all" if flat else "control", found.top)]
    while todo:
        path, block, group, key = todo.pop()
        yield block, group, key
        if key in found.macros:
            continue
        for instance, inner in found.modules[key].instances.items():
            whole = f"{path}/{instance}" if path else instance
            module = found.modules[inner].module if inner in found.modules else ""
            if group == "all":
                todo.append((whole, block, group, inner))
            elif module in _GROUP_OF:
                todo.append((whole, _named(whole), _GROUP_OF[module], inner))
            else:
                own = found.modules[key].module in _WHOLE
                todo.append((whole, _named(whole) if own else block, group, inner))


def _named(path: str) -> str:
    """Return the name of a path's block: without the core and generate blocks, as instances side by side are one."""
    parts = [part.rpartition(".")[2] for part in path.split("/")]
    return "/".join(parts[1:] if parts[0] in _WHOLE and len(parts) > 1 else parts)


def _block_of(pin: str, blocks: set[str]) -> str:
    path = _named(pin).split("/")
    longest = ("/".join(path[:n]) for n in range(len(path), 0, -1))
    return next((name for name in longest if name in blocks), TOP)


def _memory(block: str, macro: Macro, count: int) -> Memory:
    words, bits, ports = macro.parameters["WORDS"], macro.parameters["BITS"], PLATFORM.memories[macro.module]
    return Memory(block, words, bits, ports, count, count * float(area_um2(words, bits, ports)))


def _timed(macro: Macro) -> TimedMacro:
    return TimedMacro(macro.ports, access_ns(macro.parameters["WORDS"], macro.parameters["BITS"]), SETUP_NS)
