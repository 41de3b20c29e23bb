"""`ppa-gcn`: the surrogate `ppa` with the logical hierarchy graph of designs.

All members are told the sums of the graph's features, and a network of the graph is one member more. The weights say
how much each counts; they follow from rows, or architectures, that were left out.
"""

from __future__ import annotations

from typing import ClassVar

from armillary.spaces.space import Space
from armillary.surrogates.auto.member import Member
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.ppa.gcn import GraphNetwork
from armillary.surrogates.ppa.graph import Architectures
from armillary.surrogates.ppa.stack import MEMBERS
from armillary.surrogates.ppa.surrogate import Ppa


class GraphPpa(Ppa):
    """The surrogate, of spaces whose designs a platform writes as RTL; see `Ppa` for the arguments.

    Raises:
        ArmillaryError: if no platform writes the RTL of the space's designs.
    """

    kind: ClassVar[str] = "ppa-gcn"
    members: ClassVar[tuple[type[Member], ...]] = (*MEMBERS, GraphNetwork)

    @staticmethod
    def described(space: Space) -> Space:
        """Return a space with the sums of the graph's features among what it derives of designs; refuse others."""
        return Architectures.of(space).described()


KIND = SurrogateKind(GraphPpa, read=GraphPpa.load, scheduled=True, schedule="brief")
