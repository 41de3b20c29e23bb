"""Steps of a dataflow graph on a simulated accelerator: its simulator, one run, and whether the reference agrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armillary.evaluators.simulated import RunError, built, compare, told
from armillary.hardware.rtl.fixed_point import WORD, Integers, in_words, words_of
from armillary.hardware.rtl.tabla.arithmetic import Reference
from armillary.hardware.rtl.tabla.compiler import Compiled, readouts
from armillary.hardware.rtl.tabla.generator import TOP, config_bits, sources, word_bits
from armillary.hardware.rtl.tabla.program import Program
from armillary.hardware.templates.tabla import Accelerator

HARNESS = Path(__file__).parent / "harness.cpp"
_INSTRUCTION, _WEIGHT, _LAST_INSTRUCTION, _LAST_WORD = range(4)
_SLACK, _LEAST = 4, 100
"""How many times the cycles that it should take a phase may take, pauses among them, before it has failed; and more."""


@dataclass(frozen=True)
class Steps:
    """What a graph starts from and what comes with every step, as fixed-point numbers.

    Attributes:
        parameters: elements of all parameters before the first step, in the order of their numbers.
        data: elements of the other inputs, shape [steps, elements], likewise.
    """

    parameters: Integers
    data: Integers


@dataclass(frozen=True)
class Results:
    """What steps make.

    Attributes:
        emitted: what left, shape [steps, values].
        parameters: after the last step; after each, shape [steps, elements], if they were read out after each.
    """

    emitted: Integers
    parameters: Integers


@dataclass(frozen=True)
class Simulated:
    """What a run showed: results, and in which cycle, from the first word, each step had its last instruction."""

    results: Results
    done: Integers


def simulator(accelerator: Accelerator) -> Path:
    """Return a simulator of an accelerator, built if it is not there yet; registers start with the values of a seed.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
        AccidentError: if a tool is killed.
    """
    defines = {
        "CONFIG_WORDS": words_of(config_bits(accelerator)),
        "IN_WORDS": words_of(accelerator.axi_width * accelerator.bit_width),
    }
    return built(sources(accelerator), TOP, HARNESS, defines)


def simulate(compiled: Compiled, steps: Steps, *, seed: int = 0, pauses: int = 0, each: bool = False) -> Simulated:
    """Return what an accelerator makes of steps.

    Args:
        compiled: the graph on an accelerator.
        steps: which follow each other as fast as their inputs are taken.
        seed: of what every register holds at the start.
        pauses: seed of cycles in which no word of inputs is offered, half of all; 0 for none.
        each: read the parameters out after each step, not only after the last; steps then wait.

    Raises:
        RunError: if it does not end.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    count = len(steps.data)
    readers = list(readouts(compiled))
    runs = [slice(at, at + 1) for at in range(count)] if each else [slice(0, count)]
    phases: list[list[int]] = []
    for place, some in enumerate(runs):
        loaded = list(_constants(compiled, steps.parameters)) if place == 0 else []
        phases.append(_phase(compiled, compiled.program, loaded, steps.data[some]))
        phases += [_phase(compiled, program, [], np.zeros((1, steps.data.shape[1]), np.int64)) for program in readers]
    most = _LEAST + _SLACK * max(p.cycles + p.words + 1 for p in (compiled.program, *readers)) * count
    head = [pauses, most, len(phases)]
    stdin = np.concatenate([np.array(part, dtype=np.int64) for part in (head, *phases)]).tobytes()
    said = np.frombuffer(told(simulator(compiled.accelerator), stdin, seed), dtype=np.int64)
    found = _Told(said, compiled.accelerator.internal_bit_width)
    emitted, done, parameters = [], [], []
    for some in runs:
        number = len(steps.data[some])
        cycles, values = found.phase(number)
        done.append(cycles)
        emitted.append(_ordered(values, compiled.program, number, compiled.mapped.emitted))
        parameters.append(np.concatenate([found.readout(program) for program in readers] or [steps.parameters[:0]]))
    results = Results(np.concatenate(emitted), np.array(parameters) if each else parameters[0])
    return Simulated(results, np.concatenate(done))


def reference(compiled: Compiled, steps: Steps, *, each: bool = False) -> Results:
    """Return what the reference makes of steps; `each` as in `simulate`."""
    model, parameters = Reference(compiled.mapped, compiled.accelerator), steps.parameters
    emitted, following = [], []
    for data in steps.data:
        values, parameters = model.step(data, parameters)
        emitted.append(values)
        following.append(parameters)
    return Results(np.array(emitted), np.array(following) if each else parameters)


def checked(compiled: Compiled, steps: Steps, *, seed: int = 0, pauses: int = 0, each: bool = False) -> Simulated:
    """Return what `simulate` does, every result compared with the reference.

    Raises:
        RunError: names the first result that differs.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    found = simulate(compiled, steps, seed=seed, pauses=pauses, each=each)
    expected = reference(compiled, steps, each=each)
    for name in ("emitted", "parameters"):
        own, theirs = getattr(expected, name), getattr(found.results, name)
        compare(name, own, theirs, f"{compiled.accelerator}, seed {seed}")
    return found


def _split(number: int, bits: int) -> Iterator[int]:
    """Yield a number of some bits in words with a sign."""
    for word in range(words_of(bits)):
        part = (number >> (WORD * word)) & ((1 << WORD) - 1)
        yield part - (1 << WORD) if part >> (WORD - 1) else part


def _write(compiled: Compiled, kind: int, element: int, address: int, content: int) -> list[int]:
    return [kind, element, address, *_split(content, config_bits(compiled.accelerator))]


def _constants(compiled: Compiled, parameters: Integers) -> Iterator[list[int]]:
    """Yield the writes of weights: parameters and constants."""
    flow = compiled.mapped.dataflow
    values = dict(zip(sorted(flow.next_values), parameters.tolist(), strict=True))
    constants = Reference(compiled.mapped, compiled.accelerator).constants
    values |= dict(enumerate(constants.tolist(), flow.first_constant))
    for element, address, number in compiled.program.weights:
        content = values[number] & ((1 << compiled.accelerator.internal_bit_width) - 1)
        yield _write(compiled, _WEIGHT, element, address, content)


def _phase(compiled: Compiled, program: Program, loaded: Sequence[list[int]], data: Integers) -> list[int]:
    """Return a phase in the harness's words: program, what is loaded beside, inputs of shape [steps, elements]."""
    writes = [
        *loaded,
        _write(compiled, _LAST_INSTRUCTION, 0, 0, program.cycles - 1),
        _write(compiled, _LAST_WORD, 0, 0, program.words - 1 | (program.groups - 1) << word_bits(compiled.accelerator)),
    ]
    for element, instructions in enumerate(program.instructions):
        writes += [_write(compiled, _INSTRUCTION, element, at, content) for at, content in enumerate(instructions)]
    flat = [number for write in writes for number in write]
    words = _input_words(compiled, program, data)
    return [len(writes), *flat, len(data), len(words), *words.ravel().tolist()]


def _input_words(compiled: Compiled, program: Program, data: Integers) -> Integers:
    """Return the words of inputs, shape [steps * words, 64-bit words]."""
    accelerator, flow = compiled.accelerator, compiled.mapped.dataflow
    lanes, bits = accelerator.axi_width, accelerator.bit_width
    streamed = [number for tensor in flow.streamed for number in flow.elements[tensor.name]]
    rows = np.zeros((len(data), program.words, lanes), dtype=np.int64)
    for column, number in enumerate(streamed):
        if number in program.data:
            element, address = program.data[number]
            rows[:, address * program.groups + element // lanes, element % lanes] = data[:, column]
    return in_words(rows.reshape(-1, lanes), bits)


def _ordered(values: Integers, program: Program, steps: int, emitted: Sequence[int]) -> Integers:
    """Return what left in some steps in the order of the graph's results, shape [steps, values].

    Raises:
        RunError: if it is not as many as it should be.
    """
    if len(values) != steps * len(program.emitted):
        raise RunError(f"{len(values)} values left in {steps} steps, of which each has {len(program.emitted)}")
    place = {number: column for column, number in enumerate(program.emitted)}
    ordered: Integers = values.reshape(steps, len(place))[:, [place[number] for number in emitted]]
    return ordered


class _Told:
    """What the harness told, phase after phase."""

    def __init__(self, words: Integers, bits: int) -> None:
        self._words, self._bits, self._next = words, bits, 0

    def phase(self, steps: int) -> tuple[Integers, Integers]:
        """Return the cycles in which steps were done, and the values that left."""
        done = self._take(steps)
        pairs = self._take(2 * int(self._take(1)[0])).reshape(-1, 2)
        values = pairs[:, 1] & ((1 << self._bits) - 1)
        return done, values - ((values >> (self._bits - 1)) << self._bits)

    def readout(self, program: Program) -> Integers:
        """Return the parameters that a program let leave, in their order."""
        _, values = self.phase(1)
        row: Integers = _ordered(values, program, 1, sorted(program.emitted))[0]
        return row

    def _take(self, count: int) -> Integers:
        self._next += count
        taken: Integers = self._words[self._next - count : self._next]
        return taken
