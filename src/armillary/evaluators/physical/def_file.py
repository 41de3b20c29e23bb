"""DEF: the layout as other tools read it (LEF/DEF language reference 5.8)."""

from __future__ import annotations

from collections.abc import Iterator

from armillary.evaluators.physical.enablement import Enablement
from armillary.evaluators.physical.floorplan import UNITS_PER_UM, Floorplan
from armillary.evaluators.physical.netlist import PORT, Netlist, net_names
from armillary.evaluators.physical.placement import Placement


def def_text(netlist: Netlist, placement: Placement, plan: Floorplan, enablement: Enablement, site: str) -> str:
    """Return cells, pins and nets as DEF: placed, with connections and without wires."""
    return "\n".join([*_lines(netlist, placement, plan, enablement, site), ""])


def _lines(netlist: Netlist, placement: Placement, plan: Floorplan, enablement: Enablement, site: str) -> Iterator[str]:
    yield "VERSION 5.8 ;"
    yield 'DIVIDERCHAR "/" ;'
    yield 'BUSBITCHARS "[]" ;'
    yield f"DESIGN {netlist.top} ;"
    yield f"UNITS DISTANCE MICRONS {UNITS_PER_UM} ;"
    yield f"DIEAREA ( 0 0 ) ( {plan.width} {plan.height} ) ;"
    for row in range(plan.height // plan.row):
        turned = "FS" if row % 2 else "N"
        count = plan.width // plan.site
        yield f"ROW row_{row} {site} 0 {row * plan.row} {turned} DO {count} BY 1 STEP {plan.site} 0 ;"
    yield f"COMPONENTS {len(netlist.cells)} ;"
    for instance, kind in netlist.cells.items():
        x, y, turned = placement.places[instance]
        how = "FIXED" if instance in plan.macros else "PLACED"
        yield f"- {instance} {kind} + {how} ( {x} {y} ) {turned} ;"
    yield "END COMPONENTS"
    names = net_names(netlist)
    yield f"PINS {len(netlist.ports)} ;"
    for port, direction in netlist.ports.items():
        x, y = placement.ports[port]
        net = names[netlist.net_of[PORT, port]] if (PORT, port) in netlist.net_of else port
        layer = enablement.layers[0]
        yield f"- {port} + NET {net} + DIRECTION {direction.upper()} + USE SIGNAL"
        yield f"  + LAYER {layer} ( -70 -70 ) ( 70 70 ) + PLACED ( {x} {y} ) N ;"
    yield "END PINS"
    yield f"NETS {len(netlist.nets)} ;"
    for net, pins in netlist.nets.items():
        joined = " ".join(f"( {'PIN' if instance == PORT else instance} {pin} )" for instance, pin in pins)
        yield f"- {names[net]} {joined} ;"
    yield "END NETS"
    yield "END DESIGN"
