"""Sampling designs, layers and mappings together: what a surrogate of layers learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from armillary.spaces.samplers import check_sampler
from armillary.types import ArmillaryError, Candidate, Design, LayerRun, MappedLayer, Value
from armillary.workloads.layer import Layer, Workload

UNFIT_SHARE = 0.1


@dataclass(frozen=True)
class LayerSampling:
    """What is drawn.

    Attributes:
        samples: how many (design, layer, mapping). Of the same seed and sampler, fewer are the first of more, except
            where the sampler is `lhs`.
        sampler: `random`, `lhs`, `sobol` or `halton`.
        seed: same seed, same samples.
        knobs: by parameter of the design, the values that it takes; the evaluator says what the others do.
        remainders: whether the last round of a loop may be short, or all factors must divide.
        most_cycles: what a layer may take by the cost model; None for any.
        mappings: how many samples in a row are mappings of one layer onto one design.
        unfit_share: of the samples, how many keep their first mapping even if it does not fit, so that models can
            learn what is feasible. The others are drawn again until one fits.

    Raises:
        ArmillaryError: names the field that is not allowed.
    """

    samples: int
    sampler: str = "sobol"
    seed: int = 0
    knobs: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    remainders: bool = False
    most_cycles: float | None = None
    mappings: int = 1
    unfit_share: float = UNFIT_SHARE

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        for name, allowed, what in (
            ("samples", self.samples >= 1, "at least 1"),
            ("most_cycles", self.most_cycles is None or self.most_cycles > 0, "positive"),
            ("mappings", self.mappings >= 1, "at least 1"),
            ("unfit_share", 0 <= self.unfit_share <= 1, "0 to 1"),
        ):
            if not allowed:
                raise ArmillaryError(f"{name}={getattr(self, name)!r} is not allowed; it must be {what}")


@dataclass(frozen=True)
class SampledLayers:
    """What was drawn.

    Attributes:
        rows: designs, layers and mappings.
        layers: how many different ones there are.
        too_long: how many pairs of an array and a layer were left out, as the array cannot do the layer in the cycles
            that were allowed.
        missed: samples that are missing, as none of the mappings drawn for them ended in the cycles that were allowed.
    """

    rows: tuple[MappedLayer, ...]
    layers: int
    too_long: int
    missed: int


@runtime_checkable
class SamplesLayers(Protocol):
    """The capability of an evaluator to draw designs, layers of networks, and mappings of these onto those."""

    def sample_layers(
        self, networks: Sequence[Workload], sampling: LayerSampling, on_done: Callable[[int], None]
    ) -> SampledLayers:
        """Return samples, as many of each size of the array, and of each layer on it.

        A layer that several networks have is the first one's.

        Args:
            networks: whose layers.
            sampling: what is drawn.
            on_done: is told how many samples are drawn.

        Raises:
            ArmillaryError: if a knob is none of the design, or no sample can be drawn.
        """
        ...


@dataclass(frozen=True)
class Proposing:
    """How many mappings of a layer are proposed.

    Attributes:
        drawn: points of a Sobol sequence, each a mapping that uses the array as far as the layer allows.
        kept: of those that fit, the best by the cost model's delay times energy. All that fit, if as many as are drawn.
        seed: same seed, same mappings.
        remainders: whether the last round of a loop may be short, or all factors must divide.
        searched: mappings that the evaluator's own search evaluates, whose best comes before the sample; 0 for none.
    """

    drawn: int
    kept: int
    seed: int = 0
    remainders: bool = False
    searched: int = 0


@runtime_checkable
class ProposesMappings(Protocol):
    """The capability of an evaluator to draw mappings of a layer onto a design."""

    def propose_mappings(self, design: Design, layer: Layer, proposing: Proposing) -> list[str]:
        """Return different mappings as text, of the layer as the design runs it; none where none that was drawn fits.

        Raises:
            ArmillaryError: if there is no accelerator of the design.
        """
        ...


@dataclass(frozen=True)
class Descending:
    """How a design and the mappings of a network are found by gradient descent.

    Attributes:
        weights: powers of delay and energy in what is minimised.
        starts: which descend side by side.
        steps: of each.
        seed: same seed, same results.
        known: runs of mapped layers by a truer evaluator, of which the cost model's error is learned; none for none.
    """

    weights: tuple[int, int]
    starts: int
    steps: int
    seed: int = 0
    known: Sequence[LayerRun] = ()


@runtime_checkable
class DescendsNetworks(Protocol):
    """The capability of an evaluator to find a design and mappings of a network together, by gradient descent."""

    def descend(self, workload: Workload, descending: Descending) -> list[Candidate]:
        """Return what the starts end with, the best by the differentiable cost model first; none that cannot run."""
        ...
