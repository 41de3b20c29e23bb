"""`ppa-rtl`: the surrogate `ppa`, told what a design's RTL is made of.

All members are told the sums of the features of the logical hierarchy graph (see `graph`): multiplications, registers,
selections and their bits, which a layout's area and power follow far more closely than a design's parameters.
"""

from __future__ import annotations

from typing import ClassVar

from armillary.spaces.space import Space
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.ppa.graph import Architectures
from armillary.surrogates.ppa.surrogate import Ppa


class RtlPpa(Ppa):
    """The surrogate, of spaces whose designs a platform writes as RTL; see `Ppa` for the arguments.

    Raises:
        ArmillaryError: if no platform writes the RTL of the space's designs.
    """

    kind: ClassVar[str] = "ppa-rtl"

    @staticmethod
    def described(space: Space) -> Space:
        """Return a space with the sums of the graph's features among what it derives of designs; refuse others."""
        return Architectures.of(space).described()


KIND = SurrogateKind(RtlPpa, read=RtlPpa.load, scheduled=True, schedule="brief", parted=True)
