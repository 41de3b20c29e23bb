"""What a layout is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from armillary.evaluators.kind import Options
from armillary.evaluators.physical.enablement import USUAL
from armillary.problems.rung import UNTIL
from armillary.types import ArmillaryError

WHOLE = "layout"
"""Where a layout ends that does not stop before."""
STOPS: Mapping[str, tuple[str, ...]] = {"synthesis": ("utilization", "aspect_ratio"), "placement": ()}
"""Where else it can end, the first stop first, and the knobs that nothing depends on until then."""


Period = Annotated[float, Field(gt=0, description="Period that logic is mapped, sized and judged for.")]
Utilization = Annotated[
    float, Field(gt=0, lt=1, description="Part of the core, without macros, that the synthesised cells fill.")
]
Effort = Annotated[int, Field(ge=1, le=9, description="Of the placement, 1 to 9.")]


class Knobs(Options):
    """The back end's choices."""

    clock_ns: Period = 1.0
    utilization: Utilization = 0.6
    aspect_ratio: float = Field(default=1.0, ge=0.2, le=5, description="Height of the core over its width.")
    aim: Literal["speed", "area"] = Field(default="speed", description="What synthesis maps logic for.")
    adder: Literal["default", "kogge-stone", "sklansky", "han-carlson"] = Field(
        default="default", description="How additions are built; `default` is Yosys' own choice."
    )
    booth: bool = Field(default=True, description="Multipliers by Booth's encoding.")
    port_buffers: bool = Field(default=True, description="A buffer at every port but the clock's.")
    effort: Effort = 3
    placer: Literal["coloquinte", "coriolis"] = Field(
        default="coloquinte", description="What places cells; `coriolis` draws nothing, so that seeds change nothing."
    )
    router: Literal["own", "coriolis", "coriolis-detailed"] = Field(
        default="own", description="What routes: globally, or on tracks, where what finds none is counted."
    )
    timing_driven: bool = Field(
        default=True, description="Placed again with late nets shorter, which is kept where the clock gains."
    )
    sizing_rounds: int = Field(default=10, ge=0, le=100, description="Timing analyses for the cells' sizes.")
    loads: Literal["library", "steep"] = Field(
        default="library",
        description="The most that a sized cell drives: the library's, or what leaves edges as steep as those of a "
        "buffer that drives ten times its input.",
    )
    port_delay: float = Field(
        default=0.2,
        ge=0,
        lt=0.5,
        description="Part of the period that is gone outside, before inputs and after outputs.",
    )
    activity: float = Field(
        default=0.1, ge=0, le=2, description="Changes of every net per period, without a SAIF file."
    )
    clock_port: str = Field(default="clk", description="The input that is the clock.")
    enablement: str = Field(default=USUAL, description="nangate45, osu018, or a YAML file.")
    until: Literal["synthesis", "placement", "layout"] = Field(
        default="layout",
        description="Where to stop; area, power and clock are then those of the cells as they were mapped, with wires "
        "by fan-out, as the library's table has them, or between placed cells.",
    )

    @model_serializer(mode="wrap")
    def _stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `until` out of whole layouts, so that they are those of logs from before there were others."""
        values: dict[str, Any] = handler(self)
        if self.until == WHOLE:
            values.pop(UNTIL, None)
        return values


def refuse_stopped(options: Mapping[str, Any]) -> None:
    """Refuse options of layouts that stop early, where whole ones are wanted.

    Raises:
        ArmillaryError: if they do.
    """
    until = options.get(UNTIL, WHOLE)
    if until != WHOLE:
        raise ArmillaryError(f"until={until!r} is not allowed here, where whole layouts are wanted; leave it out")
