"""`ppa-gcn`: the surrogate `ppa-rtl` with a network of the logical hierarchy graph of designs as one member more.

The weights say how much each member counts; they follow from rows, or architectures, that were left out.
"""

from __future__ import annotations

from typing import ClassVar

from armillary.surrogates.auto.member import Member
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.ppa.gcn import GraphNetwork
from armillary.surrogates.ppa.rtl_surrogate import RtlPpa
from armillary.surrogates.ppa.stack import MEMBERS


class GraphPpa(RtlPpa):
    """The surrogate, of spaces whose designs a platform writes as RTL; see `Ppa` for the arguments.

    Raises:
        ArmillaryError: if no platform writes the RTL of the space's designs.
    """

    kind: ClassVar[str] = "ppa-gcn"
    members: ClassVar[tuple[type[Member], ...]] = (*MEMBERS, GraphNetwork)


KIND = SurrogateKind(GraphPpa, read=GraphPpa.load, scheduled=True, schedule="brief", parted=True)
