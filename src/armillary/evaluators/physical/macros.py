"""Memories as macros: outline, pins, times and energies, by the laws of `hardware.sram`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from armillary.hardware.sram import SETUP_NS, access_ns, area_um2, edge_energy_fj
from armillary.tools.yosys import Macro
from armillary.types import ArmillaryError

CLOCK = "clk"
OUTPUT_SLEW_NS = 0.05
LEAST_WORDS = 16
"""Memory compilers begin at about so many words; what is smaller is built of registers, as a designer would."""
_PIN_UM = 0.28  # between pins: two tracks of metal3, else wires to wide memories of few words find none
_INPUT_FF, _CLOCK_FF, _MOST_FF = 5.0, 25.0, 500.0  # of fakeram45's pins


@dataclass(frozen=True)
class MacroCell:
    """A memory of one size.

    Attributes:
        name: the module's in the netlist.
        ports: direction and bits by name; the clock is `clk`.
        area_um2: of it.
        access_ns: from the clock's edge to the word.
        setup_ns: of every input.
        edge_fj: internal energy of a rising edge of the clock.
    """

    name: str
    ports: Mapping[str, tuple[Literal["input", "output"], int]]
    area_um2: float
    access_ns: float
    setup_ns: float
    edge_fj: float

    @property
    def width_um(self) -> float:
        """Of a square, or of what is as high as its pins ask for."""
        return self.area_um2 / self.height_um

    @property
    def height_um(self) -> float:
        """Likewise."""
        return max(math.sqrt(self.area_um2), _PIN_UM * len(self.pins))

    @cached_property
    def pins(self) -> dict[str, str]:
        """The direction of each bit of its ports, `name` or `name[3]`."""
        return {f"{port}[{bit}]" if bits > 1 else port: direction
                for port, (direction, bits) in self.ports.items() for bit in range(bits)}  # fmt: skip

    @cached_property
    def places_um(self) -> dict[str, tuple[float, float]]:
        """Where the pins lie: all at equal distances along the left edge."""
        step = self.height_um / len(self.pins)
        return {pin: (0.0, (number + 0.5) * step) for number, pin in enumerate(self.pins)}

    def cap_ff(self, pin: str) -> float:
        """Return the capacitance of a pin."""
        if pin == CLOCK:
            return _CLOCK_FF
        return _INPUT_FF if self.pins[pin] == "input" else 0.0


def macro_cells(macros: Mapping[str, Macro], ports: Mapping[str, int]) -> dict[str, MacroCell]:
    """Return memories by module.

    Args:
        macros: as Yosys found them, with parameters WORDS and BITS.
        ports: 1, or 2 for one that reads and one that writes, by the module's name in the source.

    Raises:
        ArmillaryError: if a macro has no such parameters or no clock.
    """
    found = {}
    for key, macro in macros.items():
        if not {"WORDS", "BITS"} <= set(macro.parameters) or CLOCK not in macro.ports:
            raise ArmillaryError(f"macro {macro.module}: needs the parameters WORDS and BITS and a port {CLOCK}")
        words, bits, count = macro.parameters["WORDS"], macro.parameters["BITS"], ports[macro.module]
        area = float(area_um2(words, bits, count))
        energy = count * edge_energy_fj(words, bits)
        found[key] = MacroCell(key, macro.ports, area, access_ns(words, bits), SETUP_NS, energy)
    return found


def liberty_of(macros: Sequence[MacroCell], times_counted: float = 1.0) -> str:
    """Return the memories as a liberty library; it knows no leakage.

    Args:
        macros: the memories.
        times_counted: how often the reader counts the energy of a clock's edge.
    """
    slews = [f"  slew_{end}_threshold_pct_{edge} : {at};" for end, at in (("lower", 30), ("upper", 70))
             for edge in ("rise", "fall")]  # fmt: skip
    lines = [
        "library (macros) {",
        '  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA"; capacitive_load_unit (1, ff);',
        '  leakage_power_unit : "1nW"; pulling_resistance_unit : "1kohm";',
        "  delay_model : table_lookup; default_input_pin_cap : 5; default_output_pin_cap : 0;",
        "  nom_voltage : 1.1; nom_temperature : 25; nom_process : 1;",
        # without these OpenSTA takes energies for nothing
        "  operating_conditions (usual) { process : 1; voltage : 1.1; temperature : 25; }",
        "  default_operating_conditions : usual;",
        *(f"  {kind}put_threshold_pct_{edge} : 50;" for kind in ("in", "out") for edge in ("rise", "fall")),
        *slews,
    ]
    for bits in sorted({bits for macro in macros for _, bits in macro.ports.values() if bits > 1}):
        lines.append(f"  type (bits{bits}) {{ base_type : array; data_type : bit; bit_width : {bits};")
        lines.append(f"    bit_from : {bits - 1}; bit_to : 0; downto : true; }}")
    for macro in macros:
        lines += [f"  cell ({macro.name}) {{ area : {macro.area_um2:.3f};", *_pins(macro, times_counted), "  }"]
    return "\n".join([*lines, "}", ""])


def _pins(macro: MacroCell, times_counted: float) -> Iterator[str]:
    for port, (direction, bits) in macro.ports.items():
        kind = f"bus ({port}) {{ bus_type : bits{bits};" if bits > 1 else f"pin ({port}) {{"
        if port == CLOCK:
            rising = f"{macro.edge_fj / times_counted:.4f}"
            rise = f'rise_power (scalar) {{ values ("{rising}"); }} fall_power (scalar) {{ values ("0"); }}'
            yield f"    {kind} direction : input; clock : true; capacitance : {_CLOCK_FF};"
            yield f"      internal_power () {{ {rise} }} }}"
        elif direction == "input":
            value = f'(scalar) {{ values ("{macro.setup_ns:g}"); }}'
            yield f"    {kind} direction : input; capacitance : {_INPUT_FF}; timing () {{ related_pin : {CLOCK};"
            yield f"      timing_type : setup_rising; rise_constraint {value} fall_constraint {value} }} }}"
        else:
            value, slew = (
                f'(scalar) {{ values ("{macro.access_ns:g}"); }}',
                f'(scalar) {{ values ("{OUTPUT_SLEW_NS:g}"); }}',
            )
            yield f"    {kind} direction : output; max_capacitance : {_MOST_FF}; timing () {{ related_pin : {CLOCK};"
            yield f"      timing_type : rising_edge; cell_rise {value} cell_fall {value}"
            yield f"      rise_transition {slew} fall_transition {slew} }} }}"
