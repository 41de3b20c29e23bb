"""The operators that run beside the array, and what they move."""

from __future__ import annotations

from dataclasses import replace

from onnx import NodeProto

from armillary.workloads.layer import NotMapped
from armillary.workloads.onnx.lowering.parts import Remainder
from armillary.workloads.onnx.nodes import element_bits, operator, subgraphs
from armillary.workloads.onnx.schedule import Step
from armillary.workloads.onnx.shapes import Tensors


class Beside:
    """Counts the operators that are not mapped and what they move."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._rows: dict[str, NotMapped] = {}

    def add(self, step: Step) -> None:
        """Count a node as often as it runs, and the nodes of bodies of which nobody knows how often they run."""
        self._add(step.node, step.within, step.runs, inner=not step.opened)

    def add_remainder(self, step: Step, part: Remainder) -> None:
        """Count what is left of a mapped node, in elements of its output's type."""
        node = step.node
        kinds = [self._tensors.elem_type(name) for name in (*node.output, *node.input) if name]
        bits = next((bits for kind in kinds if (bits := element_bits(kind))), 8)
        name = f"{step.within}{operator(node)}:{part.part}"
        self._note(NotMapped(name, step.runs, step.runs * (part.elements * bits // 8)))

    def listed(self) -> tuple[NotMapped, ...]:
        """Return one row per operator, in order of first appearance."""
        return tuple(self._rows.values())

    def _add(self, node: NodeProto, within: str, runs: int, *, inner: bool) -> None:
        tensors = self._tensors
        folded = all(out in tensors.constants for out in node.output if out)
        sizes = [] if folded else [tensors.bytes(name) for name in (*node.input, *node.output) if name]
        known = [size for size in sizes if size is not None]
        name = within + operator(node)
        self._note(NotMapped(name, runs, runs * sum(known), unsized=runs * (len(sizes) - len(known))))
        if inner:
            for body in subgraphs(node):
                for each in body.node:
                    self._add(each, f"{name}/", runs, inner=True)

    def _note(self, row: NotMapped) -> None:
        known = self._rows.get(row.op_type)
        self._rows[row.op_type] = (
            row
            if known is None
            else replace(
                known,
                count=known.count + row.count,
                bytes_moved=known.bytes_moved + row.bytes_moved,
                unsized=known.unsized + row.unsized,
            )
        )
