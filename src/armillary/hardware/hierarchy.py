"""Hierarchies: memory levels from DRAM to registers, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from armillary.hardware.bits import ROLES as ROLES
from armillary.hardware.bits import Bits
from armillary.types import ArmillaryError
from armillary.yaml_file import read_yaml

TENSORS = "WIO"
"""Weights, inputs, outputs: the order of every tensor axis."""

LevelClass = Literal["dram", "sram", "regfile"]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]


def _bits(value: Any) -> Any:
    """Return the widths of a text, a preset's name or a table of roles."""
    if value is None or isinstance(value, Bits):
        return value
    try:
        if isinstance(value, str):
            return Bits.parse(value)
        if isinstance(value, Mapping) and set(value) <= {*ROLES, "kind"}:
            return Bits(**value)
    except ArmillaryError as fault:
        raise ValueError(str(fault).removeprefix("bits: ")) from None
    raise ValueError(f"{value!r} is not allowed; name W, I, P, O or kind, each with its value, or a preset")


_Bits = Annotated[Bits | None, BeforeValidator(_bits), PlainSerializer(lambda bits: bits and str(bits))]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AccessEnergy(_Strict):
    """Energy in pJ of one access to a block of words: a read, a fill from outside, an update from inside."""

    read_pj: _NotNegative
    fill_pj: _NotNegative
    update_pj: _NotNegative


DIMENSIONS = "NKCPQRSG"
"""Loop dimensions in the order of every dimension axis; G runs over the groups of a grouped layer."""


class LoopRules(_Strict):
    """What a mapping search may do at a level; the constraint forms of Timeloop.

    Attributes:
        temporal: dimensions that may have a temporal loop here.
        spatial_x: dimensions that may be unrolled over X.
        spatial_y: dimensions that may be unrolled over Y.
        factors: temporal factors that are fixed.
        max_tile: the largest extent of the level's own tile, per dimension.
        innermost: loops that stand innermost, the innermost first; a permutation prefix.
        may_bypass: tensors that the search may pass by, out of those the level keeps.
    """

    temporal: str = DIMENSIONS
    spatial_x: str = DIMENSIONS
    spatial_y: str = DIMENSIONS
    factors: dict[str, _Count] = {}
    max_tile: dict[str, _Count] = {}
    innermost: str = ""
    may_bypass: str = ""

    @field_validator("temporal", "spatial_x", "spatial_y", "innermost", "factors", "max_tile")
    @classmethod
    def _known_dimensions(cls, value: Any) -> Any:
        foreign = [d for d in value if d not in tuple(DIMENSIONS)]
        if foreign or len(set(value)) < len(value):
            raise ValueError(f"{value!r} is not allowed; name each of {' '.join(DIMENSIONS)} at most once")
        return value

    @field_validator("may_bypass")
    @classmethod
    def _known_tensors(cls, value: str) -> str:
        if set(value) - set(TENSORS):
            raise ValueError(f"{value!r} is not allowed; name W, I or O")
        return value


class Level(_Strict):
    """One memory level; all instances of it are alike.

    Attributes:
        name: unique in its hierarchy.
        kind: `dram`, `sram` or `regfile`; decides its energy and area where these are not given.
        keeps: the tensors it can hold, of "WIO"; the others bypass it.
        capacity_words: words per instance; None is unlimited.
        word_bits: bits per word.
        bits: width of an element by role, where the hierarchy's does not hold; a text, a preset or a table.
        block_words: words per access; energy is counted per block.
        read_bandwidth: words per cycle and instance that can be read; None is unlimited.
        write_bandwidth: likewise for fills and updates together.
        shared_bandwidth: likewise for all of them together.
        fanout: instances of the next level inward (of the compute units, at the innermost level)
            below one instance, in X and Y.
        multicast: whether one read serves all instances below that want the same words.
        spatial_reduction: whether partial sums of the instances below are added on their way here.
        buffers: tiles held at once; 2 is double buffering and halves what a tile may take.
        rules: what a mapping search may do here.
        energy: energy per access; None takes it from the technology table.
        area_mm2: area per instance; None takes it from the technology table.
        uneven: whether its tensors may be held at two places among its loops; a hierarchy makes two parts of it.
        part_of: name of the next outer level, if both are one memory: they share its capacity and its ports, and hold
            each tensor at one of the two places.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
    kind: LevelClass = "sram"
    keeps: str = TENSORS
    capacity_words: _Count | None = None
    word_bits: _Count = 8
    bits: _Bits = None
    block_words: _Count = 1
    read_bandwidth: _Positive | None = None
    write_bandwidth: _Positive | None = None
    shared_bandwidth: _Positive | None = None
    fanout: tuple[_Count, _Count] = (1, 1)
    multicast: bool = True
    spatial_reduction: bool = True
    buffers: _Count = 1
    rules: LoopRules = LoopRules()
    energy: AccessEnergy | None = None
    area_mm2: _NotNegative | None = None
    uneven: bool = False
    part_of: str | None = None

    @field_validator("keeps")
    @classmethod
    def _known_tensors(cls, keeps: str) -> str:
        if not keeps or set(keeps) - set(TENSORS) or len(set(keeps)) < len(keeps):
            raise ValueError(f"keeps={keeps!r} is not allowed; name each of W, I and O at most once, at least one")
        return "".join(t for t in TENSORS if t in keeps)

    @field_validator("fanout", mode="before")
    @classmethod
    def _pair(cls, fanout: Any) -> Any:
        return tuple(fanout) if isinstance(fanout, list) else fanout

    @property
    def tile_words(self) -> float:
        """Words that the tiles of one instance may take together."""
        return float("inf") if self.capacity_words is None else self.capacity_words // self.buffers

    @property
    def memory(self) -> str:
        """Name of the memory: that of the level itself, or of the one that it is part of."""
        return self.part_of or self.name

    def parts(self) -> tuple[Level, ...]:
        """Return the level, or the two parts of an uneven one, the outer first.

        The loops of both are those that the rules allow. Only the inner part has spatial loops, loops whose factors are
        fixed, and those that have to stand innermost.

        Raises:
            ValueError: if it keeps a single tensor, or the rules leave no loop to the outer part.
        """
        if not self.uneven:
            return (self,)
        given = f"level {self.name}: uneven=True is not allowed"
        if len(self.keeps) < 2:
            raise ValueError(f"{given} with keeps={self.keeps!r}; two tensors at least can be held unevenly")
        rules = self.rules
        temporal = "".join(d for d in rules.temporal if d not in rules.innermost and d not in rules.factors)
        if not temporal:
            raise ValueError(
                f"{given} with rules.temporal={rules.temporal!r}, rules.innermost={rules.innermost!r} and "
                f"rules.factors={rules.factors!r}; they leave no loop between its tensors"
            )
        outer = LoopRules(temporal=temporal, spatial_x="", spatial_y="", max_tile=rules.max_tile)
        return (
            self.model_copy(update={"uneven": False, "fanout": (1, 1), "rules": outer}),
            self.model_copy(update={"uneven": False, "name": f"{self.name}.inner", "part_of": self.name}),
        )

    def __repr__(self) -> str:
        size = "unlimited" if self.capacity_words is None else f"{self.capacity_words:,} x {self.word_bits} bit"
        x, y = self.fanout
        widths = "" if self.bits is None else f", bits {self.bits}"
        size = size if self.part_of is None else f"in {self.part_of}"
        return f"{self.name}[{self.keeps}] {size}{widths}" + (f", fan-out {x}x{y}" if (x, y) != (1, 1) else "")


_OF_MEMORY = (
    "kind",
    "capacity_words",
    "word_bits",
    "bits",
    "block_words",
    "read_bandwidth",
    "write_bandwidth",
    "shared_bandwidth",
    "buffers",
    "energy",
    "area_mm2",
)
"""What both parts of a memory have in common."""


def _check_parts(levels: tuple[Level, ...]) -> None:
    """Raise a ValueError if a level is part of another one that is not the same memory."""
    for number, level in enumerate(levels):
        if level.part_of is None:
            continue
        given = f"level {level.name}: part_of={level.part_of!r} is not allowed"
        if number < 2 or levels[number - 1].part_of is not None or levels[number - 1].name != level.part_of:
            allowed = [outer.name for outer in levels[max(1, number - 1) : number] if outer.part_of is None]
            raise ValueError(
                f"{given}; choose one of {allowed}: the next outer level, if that is neither the outermost nor a part"
            )
        outer = levels[number - 1]
        if outer.fanout != (1, 1):
            raise ValueError(f"{given}, as {outer.name} has fanout={outer.fanout}; only the inner part may have one")
        for field in _OF_MEMORY:
            if getattr(outer, field) != getattr(level, field):
                raise ValueError(
                    f"{given}: {field}={getattr(level, field)!r}, but {outer.name} has {getattr(outer, field)!r}; "
                    "parts of one memory must agree"
                )


class Compute(_Strict):
    """The compute units: multiply-accumulates of one per cycle.

    Attributes:
        name: what reports call it.
        bits: width of the operands.
        energy_pj: per multiply-accumulate; None takes it from the technology table.
        area_mm2: per unit; None takes it from the technology table.
    """

    name: str = "MAC"
    bits: _Count = 8
    energy_pj: _NotNegative | None = None
    area_mm2: _NotNegative | None = None


class Hierarchy(_Strict):
    """Memory levels, outermost first, around the compute units.

    Attributes:
        name: what reports call it.
        levels: outermost first; the outermost keeps every tensor. An uneven level becomes two parts.
        compute: the units below the innermost level.
        bits: width of an element by role at every level; a role that nobody sets has the level's `word_bits`.
        technology_nm: node of the technology table for what has no energy or area of its own.
        clock_ghz: turns cycles into seconds.
    """

    name: str
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    compute: Compute = Compute()
    bits: _Bits = None
    technology_nm: Annotated[float, Field(ge=7, le=45)] = 45.0
    clock_ghz: _Positive = 1.0

    @field_validator("levels", mode="before")
    @classmethod
    def _tuple(cls, levels: Any) -> Any:
        return tuple(levels) if isinstance(levels, list) else levels

    @field_validator("levels", mode="after")
    @classmethod
    def _in_parts(cls, levels: tuple[Level, ...]) -> tuple[Level, ...]:
        if levels[0].uneven:
            raise ValueError(f"level {levels[0].name}: uneven=True is not allowed at the outermost level")
        return tuple(part for level in levels for part in level.parts())

    @field_validator("technology_nm", "clock_ghz", mode="before")
    @classmethod
    def _float(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _sound(self) -> Hierarchy:
        names = [level.name for level in self.levels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two levels are called {twice[0]!r}; names must differ")
        if self.levels[0].keeps != TENSORS:
            raise ValueError(
                f"the outermost level {self.levels[0].name} keeps {self.levels[0].keeps!r}; it must keep 'WIO'"
            )
        _check_parts(self.levels)
        return self

    @property
    def inner_first(self) -> tuple[Level, ...]:
        """The levels from registers to DRAM: level 0 of a mapping first."""
        return self.levels[::-1]

    @property
    def is_uneven(self) -> bool:
        """Whether a memory has two parts."""
        return any(level.part_of for level in self.levels)

    def even(self) -> Hierarchy:
        """Return the hierarchy of which each memory is one level, with the loops of its inner part."""
        levels: list[Level] = []
        for level in self.levels:
            if level.part_of:
                both = level.keeps + levels.pop().keeps
                keeps = "".join(t for t in TENSORS if t in both)
                level = level.model_copy(update={"name": level.part_of, "part_of": None, "keeps": keeps})
            levels.append(level)
        return self.model_copy(update={"levels": tuple(levels)})

    def instances(self) -> tuple[int, ...]:
        """Return how many instances each level has, outermost first, and the compute units last."""
        counts = [1]
        for level in self.levels:
            counts.append(counts[-1] * level.fanout[0] * level.fanout[1])
        return tuple(counts)

    def widths(self, level: Level, of_layer: Bits | None = None) -> tuple[int, ...]:
        """Return the bits of an element of each role at a level, in the order of `ROLES`.

        A layer's widths come before those of the level, and those before the hierarchy's.
        """
        bits = (of_layer or Bits()).over(level.bits).over(self.bits)
        return tuple(getattr(bits, role) or level.word_bits for role in ROLES)

    def __repr__(self) -> str:
        units = self.instances()[-1]
        widths = "" if self.bits is None else f", bits {self.bits}"
        return f"{self.name}: " + " > ".join(map(repr, self.levels)) + f" > {units:,} x {self.compute.name}{widths}"

    __str__ = __repr__

    def to_yaml(self) -> str:
        """Return the text that `load_hierarchy` reads; what has its default is left out."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)


def hierarchy_from(content: Any, source: str) -> Hierarchy:
    """Return the hierarchy of a parsed YAML document.

    Raises:
        ArmillaryError: names the source, and every wrong field with its value.
    """
    if not isinstance(content, Mapping):
        raise ArmillaryError(f"{source}: holds {type(content).__name__}, not a hierarchy; it needs name and levels")
    try:
        return Hierarchy.model_validate(dict(content))
    except ValidationError as fault:
        raise ArmillaryError(f"{source}: " + "; ".join(map(_describe, fault.errors()))) from None


def load_hierarchy(path: Path) -> Hierarchy:
    """Read a hierarchy from its YAML file.

    Raises:
        ArmillaryError: if the file cannot be read or a field is wrong; names file, field and value.
    """
    content = read_yaml(path)
    return hierarchy_from(content, str(path))


def _describe(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{place} is unknown"
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "value_error":
        return f"{place}: {message}" if place else message
    return f"{place}={error['input']!r} is not allowed: {message[:1].lower()}{message[1:]}"
