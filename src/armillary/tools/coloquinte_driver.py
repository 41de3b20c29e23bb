"""What runs inside Coloquinte, as a program of its own: `python coloquinte_driver.py JOB.json PLACED.json`.

It works in the folder that it runs in and imports nothing of ours, so that a failed run can be repeated by hand.
All lengths are whole numbers of one unit, which the caller chooses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import coloquinte


def place(job: dict[str, Any]) -> dict[str, Any]:
    """Place the cells of a job: all of it, or from given places to legal ones."""
    cells = job["cells"]  # width, height, x, y, fixed, obstructs, room
    circuit = coloquinte.Circuit(len(cells))
    circuit.cell_width = widths = [cell[0] for cell in cells]
    circuit.cell_height = [cell[1] for cell in cells]
    circuit.cell_x = [cell[2] for cell in cells]
    circuit.cell_y = [cell[3] for cell in cells]
    circuit.cell_is_fixed = [bool(cell[4]) for cell in cells]
    circuit.cell_is_obstruction = [bool(cell[5]) for cell in cells]
    row = job["row"]
    same, any_ = coloquinte.CellRowPolarity.SAME, coloquinte.CellRowPolarity.ANY
    circuit.cell_row_polarity = [same if cell[1] == row and not cell[4] else any_ for cell in cells]
    for numbers, right, up, weight in job["nets"]:
        circuit.add_net(numbers, right, up, weight)
    circuit.setup_rows(coloquinte.Rectangle(0, job["width"], 0, job["height"]), row, True, False)
    parameters = coloquinte.ColoquinteParameters(job["effort"], job["seed"])
    if not job["from_given"]:
        # Cells are taken for larger than they are, so that they spread; to what part of the rows is the job's choice.
        circuit.cell_width = [round(cell[0] * cell[6]) for cell in cells]
        circuit.expand_cells_to_density(job["spread"])
        circuit.place_global(parameters, None)
        circuit.cell_width = widths
    circuit.legalize(parameters, None)
    circuit.place_detailed(parameters, None)
    circuit.check()
    turned = [str(orientation).rpartition(".")[2] for orientation in circuit.cell_orientation]
    return {"x": list(circuit.cell_x), "y": list(circuit.cell_y), "orientation": turned, "hpwl": circuit.hpwl()}


if __name__ == "__main__":
    placed = place(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(placed), encoding="utf-8")
