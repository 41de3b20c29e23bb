"""What another program found."""

from __future__ import annotations

from dataclasses import dataclass

from armillary.hardware.mapping import Mapping


@dataclass(frozen=True)
class PeerAnswer:
    """The best mapping that a program found for a layer.

    Attributes:
        program: and its version.
        delay_cycles: NaN if it found none; likewise the energy.
        energy_pj: by the program's own model.
        evaluated: mappings that it looked at.
        seconds: that it took, its start included.
        failure: why it found none, or why its mapping is none of ours; empty otherwise.
        mapping: as a mapping of ours, to be costed by our model; None if there is none.
        lost: what of its mapping our model does not allow, so that `mapping` is only the nearest; empty if none.
    """

    program: str
    delay_cycles: float
    energy_pj: float
    evaluated: int
    seconds: float
    failure: str = ""
    mapping: Mapping | None = None
    lost: str = ""

    @property
    def edp(self) -> float:
        """Energy times delay, pJ cycles."""
        return self.delay_cycles * self.energy_pj

    @staticmethod
    def failed(program: str, why: str, seconds: float) -> PeerAnswer:
        """Return that a program found nothing."""
        return PeerAnswer(program, float("nan"), float("nan"), 0, seconds, why)
