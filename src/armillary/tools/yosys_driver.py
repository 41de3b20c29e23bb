"""What runs inside Yosys, as a program of its own: `python yosys_driver.py elaborate|map|netlist|outline JOB.json`.

It works in the folder that it runs in and imports nothing of ours, so that a failed run can be repeated by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from pyosys import libyosys as ys

DESIGN = "design.il"
FOUND = "found.json"
_LEVELS = 4
# Booth multipliers are a quarter smaller than Yosys' own, and faster; Sklansky's adders are shallow.
_COARSE = "synth -booth -extra-map +/choices/sklansky.v -run coarse:check"
# Timing driven: the script that Yosys has built in gives the same netlist for every clock. Mapping to look-up tables
# first balances deep logic, which is what keeps the store unit's conversion within a nanosecond.
_ABC = "+strash;&get,-n;&st;&if,-g,-K,6;&put;dch,-f;map,-B,0.9,{D};topo;buffer,-c;upsize,{D};dnsize,{D};stime,-p"
_CONSTRAINTS = "set_driving_cell BUF_X1\nset_load 5.0\n"
# What the logic is asked to take: wires, registers and what ABC does not see take the rest; so do memories beside it.
_OF_THE_PERIOD, _BESIDE_MEMORIES = 0.65, 0.4
# For layout. Sum-of-product balancing keeps deep logic short, as above; without it netlists are smaller and slower.
_ABC_OF = {
    "speed": "+strash;&get,-n;&st;&if,-g,-K,6;&put;dch,-f;map,-B,0.9,{D};topo;buffer,-c;upsize,{D};dnsize,{D};stime,-p",
    "area": "+strash;dch;map,-B,0.9,{D};topo;buffer,-c;upsize,{D};dnsize,{D};stime,-p",
}
NETLIST = "netlist.json"
_LEAST_GATED = 8  # registers that are worth a gate in their clock
_MEMORY_PORTS = ("$memrd", "$memwr", "$meminit")
_ARITHMETIC = ("$add", "$sub", "$neg", "$lt", "$le", "$gt", "$ge", "$div", "$mod", "$alu", "$macc")
_SELECTION = ("$mux", "$pmux", "$bmux", "$shift", "$shiftx", "$shl", "$shr", "$sshl", "$sshr")


def elaborate(job: dict[str, Any]) -> dict[str, Any]:
    """Read the sources, check them module by module and as a whole, and write what each module is made of."""
    design = ys.Design()
    ys.run_pass(f"read_verilog -sv {' '.join(job['files'])}", design)
    ys.run_pass(f"hierarchy -check -top {job['top']}", design)
    _rename(design)
    ys.run_pass("tee -o proc.txt proc", design)
    ys.run_pass("tee -o check.txt check", design)
    ys.run_pass("design -save whole", design)
    ys.run_pass("flatten", design)
    ys.run_pass("tee -o flat_check.txt check", design)
    if not job["flat"]:
        ys.run_pass("design -load whole", design)
    else:
        design = _flattened_but_macros(design, job)
    for module in _modules(design):
        if _is_macro(module, job):
            ys.run_pass(f"blackbox {_name(module)}", design)
    # Constants and unused wires cross the boundaries of modules, a level each time.
    for step in ("opt_expr", "opt_clean", "opt_hier") * _LEVELS:
        ys.run_pass(step, design)
    ys.run_pass("opt_clean", design)
    ys.run_pass(f"write_rtlil {DESIGN}", design)
    return {_name(module): _description(module, design) for module in _modules(design)}


def _flattened_but_macros(design: ys.Design, job: dict[str, Any]) -> ys.Design:
    """Flatten all but the macros, which are a matter of another tool."""
    ys.run_pass("design -load whole", design)
    for module in _modules(design):
        if _is_macro(module, job):
            ys.run_pass(f"setattr -mod -set keep_hierarchy 1 {_name(module)}", design)
    ys.run_pass("flatten", design)
    ys.run_pass(f"hierarchy -top {job['top']}", design)  # leaves out what was flattened
    return design


def _is_macro(module: Any, job: dict[str, Any]) -> bool:
    """Return whether a module is a memory that stays one block: of enough words, or all that is known of it."""
    words = _parameters(module).get("WORDS", job["least_words"])
    large = words >= job["least_words"] or not module.cells_
    return _origin(module) in job["macros"] and large


def map_(job: dict[str, Any]) -> dict[str, Any]:
    """Map modules to the library's cells, each by itself, and write a netlist of each."""
    Path("constraints.txt").write_text(_CONSTRAINTS, encoding="utf-8")
    library = job["library"]
    found = {}
    for name in job["modules"]:
        before = _cpu_s()
        design = ys.Design()
        ys.run_pass(f"read_rtlil {DESIGN}", design)
        others = [_name(other) for other in _modules(design) if _name(other) != name]
        instances = _instances(next(each for each in _modules(design) if _name(each) == name), design)
        part = _BESIDE_MEMORIES if set(instances.values()) & set(job["macros"]) else _OF_THE_PERIOD
        asked_ps = round(part * job["clock_ps"])
        for step in (
            *([f"blackbox {' '.join(others)}"] if others else []),
            _COARSE,
            f"clockgate -liberty {library} -min_net_size {_LEAST_GATED}",
            f"dfflibmap -liberty {library}",
            "opt",
            "setundef -zero",
            f'abc -liberty {library} -constr constraints.txt -D {asked_ps} -script "{_ABC}"',
            "opt_clean -purge",
            f"tee -o {name}.json stat -json -liberty {library}",
        ):
            ys.run_pass(step, design)
        module = next(module for module in _modules(design) if _name(module) == name)
        _simplify(module)
        ys.run_pass(f"write_verilog -noattr -noexpr -nohex -nodec {name}.v", design)
        found[name] = {**_counted(Path(f"{name}.json"), name), "instances": _instances(module, design)}
        found[name]["cpu_s"] = _cpu_s() - before
    return found


def netlist(job: dict[str, Any]) -> dict[str, Any]:
    """Map the flattened top module to the library's cells as a recipe says, and write it as JSON."""
    constraints = f"set_driving_cell {job['driver']}\nset_load {job['load_ff']}\n"
    Path("constraints.txt").write_text(constraints, encoding="utf-8")
    library = job["library"]
    booth = "-booth" if job["booth"] else ""
    adder = f"-extra-map +/choices/{job['adder']}.v" if job["adder"] != "default" else ""
    unused = " ".join(f"-dont_use {name}" for name in job["dont_use"])
    script = _ABC_OF[job["recipe"]]
    design = ys.Design()
    for step in (
        f"read_rtlil {DESIGN}",
        f"hierarchy -top {job['top']}",
        "setattr -mod -unset keep_hierarchy *",  # a layout is flat
        f"synth -top {job['top']} -flatten {booth} {adder} -run coarse:check",
        f"dfflibmap -liberty {library} {unused}",
        "opt",
        "setundef -zero",
        f'abc -liberty {library} {unused} -constr constraints.txt -D {job["clock_ps"]} -script "{script}"',
        "setundef -zero",
        "opt_clean -purge",
        f"tee -o stat.json stat -json -liberty {library}",
        f"write_json {NETLIST}",
    ):
        ys.run_pass(step, design)
    return {}


def outline(job: dict[str, Any]) -> dict[str, Any]:
    """Read designs, each from a folder of its own, and write what the modules of each are made of before synthesis."""
    found = {}
    for name, files in job["designs"].items():
        design = ys.Design()
        ys.run_pass(f"read_verilog -sv {' '.join(files)}", design)
        ys.run_pass(f"hierarchy -check -top {job['top']}", design)
        ys.run_pass("proc -noopt", design)  # before which registers are statements
        found[name] = {_name(module): _outline(module, design) for module in _modules(design)}
    return found


def _outline(module: Any, design: ys.Design) -> dict[str, Any]:
    """Return what a module is made of: operators by kind, registers and memories, each with their bits."""
    described = _description(module, design)
    operators = {kind: [0, 0] for kind in ("multiplication", "arithmetic", "selection", "logic")}
    registers = [0, 0]
    for cell in module.cells_.values():
        type_ = cell.type.str()
        if not type_.startswith("$") or type_.startswith(("$paramod", *_MEMORY_PORTS, "$check", "$scopeinfo")):
            continue
        counted = registers if "dff" in type_ else operators[_kind_of(type_)]
        counted[0] += 1
        counted[1] += _bits(type_, {key.str()[1:]: value.as_int() for key, value in cell.parameters.items()})
    return {
        "instances": described["instances"],
        "ports": list(described["ports"].values()),
        "operators": operators,
        "registers": registers,
        "memories": [memory.size * memory.width for memory in module.memories.values()],
    }


def _kind_of(type_: str) -> str:
    if type_ == "$mul":
        return "multiplication"
    return "arithmetic" if type_ in _ARITHMETIC else "selection" if type_ in _SELECTION else "logic"


def _bits(type_: str, parameters: dict[str, int]) -> int:
    """Return how large a cell is: of a multiplication its partial products, else the bits of its widest side."""
    if type_ == "$mul":
        return parameters["A_WIDTH"] * parameters["B_WIDTH"]
    wide = max(value for name, value in parameters.items() if name.endswith("WIDTH") and name != "S_WIDTH")
    return wide * parameters["S_WIDTH"] if type_ == "$pmux" else wide


def _simplify(module: Any) -> None:
    """Leave out what timing tools do not read: signs, and assignments to several wires at once."""
    bits = []
    for left, right in list(module.connections_):
        pairs = zip(left.to_sigbit_vector(), right.to_sigbit_vector(), strict=True)
        bits += [(ys.SigSpec(one, 1), ys.SigSpec(other, 1)) for one, other in pairs]
    module.new_connections(bits)
    for wire in module.wires_.values():
        wire.is_signed = False


def _counted(path: Path, name: str) -> dict[str, Any]:
    counted = json.loads(path.read_text(encoding="utf-8"))["modules"][f"\\{name}"]
    return {
        "cells": counted.get("num_cells_by_type", {}),
        "area_um2": counted.get("area", 0.0),
        "register_um2": counted.get("sequential_area", 0.0),
    }


def _rename(design: ys.Design) -> None:
    """Name each module with parameters by its name and a digest of their values: every tool reads such names."""
    renamed = {}
    for module in _modules(design):
        old = module.name.str()
        if old.startswith("$"):
            new = ys.IdString(f"\\{_origin(module)}_{hashlib.sha256(old.encode()).hexdigest()[:8]}")
            design.rename(module, new)
            renamed[old] = new
    for module in _modules(design):
        for cell in list(module.cells_.values()):
            if cell.type.str() in renamed:
                cell.type = renamed[cell.type.str()]


def _modules(design: ys.Design) -> list[Any]:
    return sorted(design.modules_.values(), key=lambda module: str(module.name.str()))


def _name(module: Any) -> str:
    return str(module.name.str()).removeprefix("\\")


def _origin(module: Any) -> str:
    """Return the name that a module has in its source."""
    return str(module.get_string_attribute(ys.IdString("\\hdlname")) or _name(module)).removeprefix("\\")


def _instances(module: Any, design: ys.Design) -> dict[str, str]:
    known = {other.name.str() for other in design.modules_.values()}
    of = {cell.name.str(): cell.type.str() for cell in module.cells_.values() if cell.type.str() in known}
    return {name.removeprefix("\\"): type_.removeprefix("\\") for name, type_ in sorted(of.items())}


def _description(module: Any, design: ys.Design) -> dict[str, Any]:
    wires = [wire for wire in module.wires_.values() if wire.port_id]
    return {
        "module": _origin(module),
        "file": module.get_src_attribute().partition(":")[0],
        "parameters": _parameters(module),
        "instances": _instances(module, design),
        "ports": {
            wire.name.str().removeprefix("\\"): ["input" if wire.port_input else "output", wire.width]
            for wire in sorted(wires, key=lambda wire: wire.port_id)
        },
    }


def _parameters(module: Any) -> dict[str, int]:
    values = module.parameter_default_values
    return {name.str().removeprefix("\\"): value.as_int() for name, value in values.items()}


def _cpu_s() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    modules = {"elaborate": elaborate, "map": map_, "netlist": netlist, "outline": outline}[sys.argv[1]](given)
    Path(FOUND).write_text(json.dumps({"modules": modules, "cpu_s": _cpu_s()}), encoding="utf-8")
