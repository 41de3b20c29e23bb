"""Enablements: the technologies that designs are laid out in. NanGate45 and OSU018 ship; users add theirs by YAML."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from armillary.tools import nangate45, osu018
from armillary.types import ArmillaryError
from armillary.yaml_file import read_yaml


@dataclass(frozen=True)
class Wire:
    """What a layer's wires have per um: resistance in ohm, capacitance in fF with that to usual neighbours."""

    ohm_per_um: float
    ff_per_um: float


@dataclass(frozen=True)
class Enablement:
    """A technology for layout.

    Attributes:
        name: of it.
        title: with corner, voltage and temperature.
        liberty: file of the cells' areas, delays and energies.
        tech_lef: file of layers and site.
        cell_lef: file of the cells' shapes; may be the same.
        layers: on which signals are routed, the lowest first.
        buffer: the cell that drives nets of many pins, and the pins of its family's members.
        clock_buffer: the cell of the clock tree.
        volts: of the supply.
        wires: of layers, where they are better known than from the LEF file, whose values leave neighbours out.
        usable: part of each layer's tracks that signals may take; the rest is for power and for pins.
        usable_of: likewise of single layers.
        dont_use: cells that synthesis and sizing leave alone.
        tap_sites: width of what ties wells, at both ends of each row; 0 if cells tie their own.
        tap_um: distance of further ones within rows, in turns in every second row; 0 if there are none.
        slowness: by which factor periods worth asking a layout for are longer than in NanGate45. Layouts do not depend
            on it; a search and a collection draw their periods by it.
    """

    name: str
    title: str
    liberty: Path
    tech_lef: Path
    cell_lef: Path
    layers: tuple[str, ...]
    buffer: str
    clock_buffer: str
    volts: float
    wires: Mapping[str, Wire] = field(default_factory=dict)
    usable: float = 0.5
    usable_of: Mapping[str, float] = field(default_factory=dict)
    dont_use: tuple[str, ...] = ()
    tap_sites: int = 0
    tap_um: float = 0.0
    slowness: float = 1.0

    def __post_init__(self) -> None:
        if not self.layers:
            raise ArmillaryError(f"enablement {self.name}: layers=() is not allowed; name those that signals may take")
        if not self.volts > 0:
            raise ArmillaryError(f"enablement {self.name}: volts={self.volts!r} is not allowed; it must be above zero")
        if not self.slowness > 0:
            raise ArmillaryError(
                f"enablement {self.name}: slowness={self.slowness!r} is not allowed; it must be above zero"
            )
        for name, value in {"usable": self.usable, **self.usable_of}.items():
            if not 0 < value <= 1:
                raise ArmillaryError(f"enablement {self.name}: {name}={value!r} is not allowed; write a part, 0 to 1")

    def digest(self) -> str:
        """Return what tells this enablement, its files' content included, from others."""
        found = hashlib.sha256()
        for item in fields(self):
            if item.name == "slowness":
                continue
            value = getattr(self, item.name)
            found.update(value.read_bytes() if isinstance(value, Path) else repr((item.name, value)).encode())
        return found.hexdigest()[:24]


def nangate() -> Enablement:
    """Return NanGate45.

    The wires are those of OpenROAD-flow-scripts' `setRC.tcl` of the platform nangate45, which are fitted to extracted
    layouts, so that neighbours are in them; the parts of tracks that signals may take are those of its `fastroute.tcl`,
    and the taps of wells those of its `tapcell.tcl`.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    tech, cells = nangate45.lef()
    wires = {
        "metal2": Wire(3.69946, 0.0831598), "metal3": Wire(3.59251, 0.104578), "metal4": Wire(1.47169, 0.116865),
        "metal5": Wire(1.48720, 0.110884), "metal6": Wire(1.49718, 0.106865), "metal7": Wire(0.216176, 0.115007),
        "metal8": Wire(0.188720, 0.0922290), "metal9": Wire(0.0377464, 0.119876), "metal10": Wire(0.0354210, 0.118534),
    }  # fmt: skip
    return Enablement(
        name="nangate45",
        title=nangate45.TYPICAL,
        liberty=nangate45.liberty(),
        tech_lef=tech,
        cell_lef=cells,
        layers=tuple(wires),
        buffer="BUF_X1",
        clock_buffer="CLKBUF_X3",
        volts=1.1,
        wires=wires,
        usable=0.75,
        usable_of={"metal2": 0.2, "metal3": 0.3},
        dont_use=("TAPCELL_X1", "FILLCELL_X1", "AOI211_X1", "OAI211_X1", "CLKBUF_X1", "CLKBUF_X2", "CLKBUF_X3"),
        tap_sites=1,
        tap_um=120.0,
    )


def osu() -> Enablement:
    """Return OSU018; its wires are those of its LEF file.

    A pipeline of `axiline` that reaches 1,023 MHz in NanGate45, if asked for more, reaches 241 MHz: 4.2 times slower.

    Raises:
        ArmillaryError: if it is not installed; says how to install it.
    """
    tech, cells = osu018.lef()
    return Enablement(
        name="osu018",
        title=osu018.TYPICAL,
        liberty=osu018.liberty(),
        tech_lef=tech,
        cell_lef=cells,
        layers=("metal2", "metal3", "metal4", "metal5", "metal6"),
        buffer="BUFX2",
        clock_buffer="CLKBUF1",
        volts=1.8,
        dont_use=("CLKBUF1", "CLKBUF2", "CLKBUF3", "TBUFX1", "TBUFX2"),
        slowness=4.2,
    )


SHIPPED = {"nangate45": nangate, "osu018": osu}


def enablement(name: str) -> Enablement:
    """Return an enablement that ships, or that of a YAML file.

    Raises:
        ArmillaryError: if there is none of the name, its files are missing, or the YAML file is wrong.
    """
    if name in SHIPPED:
        return SHIPPED[name]()
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ArmillaryError(f"enablement {name!r} is unknown; choose one of {list(SHIPPED)}, or name a YAML file")
    return _from_yaml(path)


def _from_yaml(path: Path) -> Enablement:
    content = read_yaml(path)
    known = {item.name: item for item in fields(Enablement)}
    if not isinstance(content, dict):
        raise ArmillaryError(f"{path}: holds no enablement; write one line `field: value` for each of {list(known)}")
    unknown = sorted(map(str, set(content) - set(known)))
    if unknown:
        raise ArmillaryError(f"{path}: {unknown[0]} is no field of an enablement; it has {list(known)}")
    optional = {item.name for item in fields(Enablement) if (item.default, item.default_factory) != (MISSING, MISSING)}
    missing = [name for name in known if name not in content and name not in optional]
    if missing:
        raise ArmillaryError(f"{path}: lacks {missing}")
    values: dict[str, Any] = dict(content)
    for name in ("liberty", "tech_lef", "cell_lef"):
        values[name] = path.parent / str(content[name])
        if not values[name].is_file():
            raise ArmillaryError(f"{path}: {name}: there is no file {values[name]}")
    for name in ("layers", "dont_use"):
        values[name] = tuple(map(str, content.get(name) or ()))
    for name in ("usable", "volts", "tap_sites", "tap_um", "slowness"):
        if name in content and not isinstance(content[name], int | float):
            raise ArmillaryError(f"{path}: {name}={content[name]!r} is no number")
    values["usable_of"] = dict(content.get("usable_of") or {})
    try:
        values["wires"] = {layer: Wire(**wire) for layer, wire in (content.get("wires") or {}).items()}
    except (TypeError, AttributeError) as fault:
        raise ArmillaryError(f"{path}: wires: write `LAYER: {{ohm_per_um: 3.6, ff_per_um: 0.1}}` ({fault})") from None
    return Enablement(**values)
