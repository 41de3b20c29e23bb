"""The hardware in Python, cycle by cycle, as `blocks` describe it: it runs the instructions themselves."""

from armillary.hardware.rtl.tabla.arithmetic import Reference, operate
from armillary.hardware.rtl.tabla.program import OPERATIONS, layout_of

PORTS = (
    ("data", "data", 0, "ab"),
    ("weight", "weight", 1, "ab"),
    ("first", "intermediate", 2, "a"),
    ("second", "intermediate", 2, "b"),
    ("inbox", "inbox", 3, "ab"),
)
"""Of reading: its name in instructions, the memory, the source, and the operands that can take it."""


class Machine:
    """Runs a program for a step, as slowly as it is easy to read.

    A word that is read in the cycle in which it is written, or before it ever was, is an error, as for the hardware.
    """

    def __init__(self, compiled):
        self.compiled = compiled
        self.accelerator = a = compiled.accelerator
        self.memories = {name: [{} for _ in range(a.elements)] for name in ("data", "weight", "intermediate", "inbox")}
        flow = compiled.mapped.dataflow
        constants = Reference(compiled.mapped, a).constants.tolist()
        for element, address, number in compiled.program.weights:
            if number >= flow.first_constant:
                self.memories["weight"][element][address] = constants[number - flow.first_constant]
        self.layout = layout_of(a)

    def place(self, values, places):
        """Put parameters (element, address, number) or data where they are."""
        for number, (memory, element, address) in places.items():
            self.memories[memory][element][address] = values[number]

    def step(self):
        """Run a step; return what left, in order."""
        a, out = self.accelerator, []
        results, chosen = [0] * a.elements, [(0, 0)] * a.elements
        read = [{} for _ in range(a.elements)]
        buses, flags, global_bus = [0] * a.num_pu, [0] * a.num_pu, 0
        for cycle in range(self.compiled.program.cycles + 3):
            fields = [self._fields(e, cycle) for e in range(a.elements)]
            shown, next_results = list(results), []
            for e, f in enumerate(fields):
                show = {4: shown[e], 5: shown[e - 1], 6: shown[(e + 1) % a.elements], 7: buses[e // a.num_pe],
                        8: global_bus}  # fmt: skip
                next_results.append(int(operate(OPERATIONS[f["operation"]], *chosen[e], a)))
                before = read[e]
                chosen[e] = tuple(show.get(f[f"{x}_source"], before.get((x, f[f"{x}_source"]), 0)) for x in "ab")
                read[e] = self._read(e, f)
                self._write(e, f, shown[e], show)
            driven = [[e for e in range(a.elements) if e // a.num_pe == u and fields[e]["drives"]]
                      for u in range(a.num_pu)]  # fmt: skip
            assert all(len(some) <= 1 for some in driven), "two elements drive a bus"
            assert sum(flag > 1 for flag in flags) <= 1, "two units drive the global bus"
            global_bus = next((buses[u] for u in range(a.num_pu) if flags[u] > 1), 0)
            out += [buses[u] for u in range(a.num_pu) if flags[u] == 3]
            buses = [shown[some[0]] if some else 0 for some in driven]
            flags = [fields[some[0]]["drives"] if some else 0 for some in driven]
            results = next_results
        return out

    def _fields(self, element, cycle):
        own = self.compiled.program.instructions[element]
        word = own[cycle] if cycle < len(own) else 0
        return {name: (word >> first) & ((1 << bits) - 1) for name, (first, bits) in self.layout.items()}

    def _read(self, e, f):
        """Return what is read, by operand and source."""
        found = {}
        for port, memory, source, operands in PORTS:
            if f[f"{port}_read"]:
                address = f[f"{port}_address"]
                target = f.get(f"{memory}_target")
                assert not (f.get(f"{memory}_write") and target == address), "a word is read while it is written"
                found |= {(operand, source): self.memories[memory][e][address] for operand in operands}
        return found

    def _write(self, e, f, result, show):
        if f["weight_write"]:
            self.memories["weight"][e][f["weight_target"]] = result
        if f["intermediate_write"]:
            self.memories["intermediate"][e][f["intermediate_target"]] = result
        if f["inbox_write"]:
            self.memories["inbox"][e][f["inbox_target"]] = show[5 + f["inbox_source"]]
