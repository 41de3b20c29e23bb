"""Architectures and knobs of the back end as one space.

Every row says at which clock and utilization a design was laid out, so that one surrogate learns both and one search
varies both, as in the full-stack framework of Esmaeilzadeh et al. (arXiv 2308.12120), whose back-end points are target
clock and utilization. The space has a name of its own, `TEMPLATE.physical`: rows of designs alone, whose
knobs are options of the evaluator, never mix with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators import kind_of
from armillary.evaluators.physical.enablement import USUAL, enablement
from armillary.evaluators.physical.knobs import Knobs
from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.platform import Platform
from armillary.hardware.template import Template
from armillary.spaces.space import Parameter, Space
from armillary.types import Design, EvaluatorSpec, Fidelity, Value
from armillary.workloads.layer import Workload

JOINT = f".{Fidelity.PHYSICAL}"
"""How the name of a joint space ends."""
_CLOCKS = 10
_REST = (
    Parameter("utilization", (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8), unit="of the core"),
    Parameter("aspect_ratio", (0.5, 0.7, 1.0, 1.4, 2.0), unit="height over width"),
    Parameter("aim", ("speed", "area"), kind="categorical"),
)
KNOBS = ("clock_ns", *(knob.name for knob in _REST))
"""The options of the evaluator that are parameters of the joint space."""


def joint(template: Template, networks: Sequence[Workload] = (), options: Mapping[str, Any] | None = None) -> Template:
    """Return a template whose designs are architectures with knobs of the back end.

    Periods are those of the platform in NanGate45, times the slowness of the enablement that the options name.

    Args:
        template: whose designs can be laid out.
        networks: that designs are for; parameters have the values that all of them leave open. Of none, all values.
        options: of the physical evaluator, as `--set` gives them; a knob among them has this value alone.

    Raises:
        ArmillaryError: if the template has no physical evaluator, an option is not allowed, or another enablement than
            NanGate45, after which periods are scaled, is not there.
    """
    given = dict(options or {})
    kind = kind_of(template.name, Fidelity.PHYSICAL)
    chosen = kind.spec(given).options
    if not issubclass(kind.options, Knobs):  # somebody else's, whose options are its own affair
        return template
    slowness = _slowness(str(chosen["enablement"]))
    fixed = {name: (chosen[name],) for name in KNOBS if name in given}
    knobs = tuple(replace(knob, values=fixed.get(knob.name, knob.values)) for knob in _knobs(template.name, slowness))
    own = template.for_workloads(networks)
    width = len(own.space.parameters)
    space = Space(f"{template.name}{JOINT}", (*own.space.parameters, *knobs))
    defaults = _defaults(knobs, slowness)
    return replace(
        own.over(space, lambda codes: codes[:, :width]),
        candidates=None if own.candidates is None else _with_every(own.candidates, knobs),
        defaults={**own.defaults, **defaults},
        baseline=own.baseline and space.design_from({**own.baseline.as_dict(), **defaults}, own.name),
    )


def architecture(space: Space) -> tuple[str, ...]:
    """Return the parameters of a joint space that tell architectures apart; of another space, all."""
    return tuple(name for name in space.names if not (is_joint(space) and name in KNOBS))


def is_joint(space: Space) -> bool:
    """Return whether designs of a space bring knobs of the back end."""
    return space.name.endswith(JOINT)


def parted(design: Design) -> tuple[Design, dict[str, Value]]:
    """Return the architecture of a design, and its knobs by name; a design alone has none."""
    if not design.space.endswith(JOINT):
        return design, {}
    values = design.as_dict()
    knobs = {name: values.pop(name) for name in KNOBS}
    return Design(design.space.removesuffix(JOINT), tuple(values.items())), knobs


def hardware_of(template: str, design: Design) -> str:
    """Return a text that is the same for designs, given without knobs, whose hardware is the same."""
    platform = PLATFORMS.load(template, Platform)
    sources = platform.sources(platform.accelerator(**design.as_dict()))
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def without_knobs(spec: EvaluatorSpec) -> EvaluatorSpec:
    """Return the specification that rows of joint designs record, which bring their knobs themselves."""
    return replace(spec, options={name: value for name, value in spec.options.items() if name not in KNOBS})


def _slowness(technology: str) -> float:
    """Return an enablement's slowness, of the one that periods are given for without asking whether it is there."""
    return 1.0 if technology == USUAL else enablement(technology).slowness


def _knobs(template: str, slowness: float) -> tuple[Parameter, ...]:
    fastest, slowest = PLATFORMS.load(template, Platform).clocks_ns
    clocks = np.geomspace(fastest * slowness, slowest * slowness, _CLOCKS).round(2).tolist()
    return (Parameter("clock_ns", tuple(clocks), unit="ns"), *_REST)


def _defaults(knobs: Sequence[Parameter], slowness: float) -> dict[str, Value]:
    """Return the value of each knob that is nearest to the evaluator's own default, in a technology so slow."""
    found: dict[str, Value] = {}
    for knob in knobs:
        own = Knobs.model_fields[knob.name].default
        if knob.name == "clock_ns":
            own *= slowness
        if own in knob.values or knob.kind == "categorical":
            found[knob.name] = own if own in knob.values else knob.values[0]
        else:
            found[knob.name] = knob.values[int(np.abs(np.array(knob.values) - own).argmin())]
    return found


def _with_every(candidates: NDArray[np.int64], knobs: Sequence[Parameter]) -> NDArray[np.int64]:
    """Return candidates with all values of the knobs, shape [candidates * points, parameters]."""
    points = np.indices([len(knob.values) for knob in knobs]).reshape(len(knobs), -1).T
    return np.concatenate([np.repeat(candidates, len(points), axis=0), np.tile(points, (len(candidates), 1))], axis=1)
