"""How a network is run: sizes of open dimensions, the phase of a language model, widths of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from armillary.hardware.bits import Bits
from armillary.types import ArmillaryError
from armillary.workloads import load
from armillary.workloads.layer import LayerUse, Workload
from armillary.workloads.phases import Phase, dims_of_phase

TENSORS = ("weights", "kv", "activations")
_MOST_BITS = 32


@dataclass(frozen=True)
class Running:
    """How a network is run.

    Attributes:
        dims: sizes of open dimensions by name.
        phase: of a language model; None for a network as it is.
        bits: widths by tensor. `weights` are learned operands; `kv` are operands that are computed at run time, in
            attention the keys and values that a cache holds; `activations` are all inputs and outputs of layers.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    phase: Phase | None = None
    bits: Mapping[str, int] = field(default_factory=dict)

    def load(self, name: str, operators: Mapping[str, str] | None = None) -> Workload:
        """Return a network of the zoo, or of an ONNX file, as it is run.

        Raises:
            ArmillaryError: see `armillary.workloads.load`; or if the network has no phases.
        """
        return self.applied(load(name, dims_of_phase(name, self.phase, self.dims), operators))

    def applied(self, network: Workload) -> Workload:
        """Return a network whose dimensions have their sizes with the phase and the widths.

        Its name then ends with them, because a log holds one workload under a name.
        """
        layers = tuple(map(self._with_bits, network.layers)) if self.bits else network.layers
        phase = self.phase or network.phase
        return replace(network, name=f"{network.name}{self._suffix()}", layers=layers, phase=phase)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it; empty if nothing is said."""
        return asdict(self) if self != Running() else {}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Running:
        """Return what `as_dict` wrote."""
        if not content:
            return Running()
        phase = content["phase"]
        return Running(content["dims"], None if phase is None else Phase(**phase), content["bits"])

    def _suffix(self) -> str:
        widths = "".join(f"-{name}{width}" for name, width in self.bits.items())
        return ("" if self.phase is None else f"-{self.phase}") + widths

    def _with_bits(self, use: LayerUse) -> LayerUse:
        operand = self.bits.get("kv" if use.layer.dynamic else "weights")
        activations = self.bits.get("activations")
        own = Bits(W=operand, I=activations, O=activations)
        return use if own == Bits() else replace(use, layer=replace(use.layer, bits=own.over(use.layer.bits)))


def tensor_bits(texts: Sequence[str]) -> dict[str, int]:
    """Return the widths of texts such as `weights=4`, in the order of `TENSORS`.

    Raises:
        ArmillaryError: names what is wrong and what is allowed.
    """
    found: dict[str, int] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in TENSORS or not (value.isascii() and value.isdecimal() and 1 <= int(value) <= _MOST_BITS):
            raise ArmillaryError(
                f"--bits {text!r} is not allowed; write TENSOR=BITS with a tensor of {list(TENSORS)} and 1 to "
                f"{_MOST_BITS} bits, e.g. weights=4"
            )
        if name in found:
            raise ArmillaryError(f"--bits {text!r}: {name} has {found[name]} bits already; give each tensor once")
        found[name] = int(value)
    return {name: found[name] for name in TENSORS if name in found}
