"""Pairs of layers of which the second alone reads what the first puts out: what can be fused.

A tile of the intermediate tensor is computed by the first layer, the producer, and read by the second, the consumer,
before the next tile is begun. Which loops both layers can share follows from their shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armillary.workloads.layer import Layer, LayerUse
    from armillary.workloads.vector_work import VectorUse


@dataclass(frozen=True, slots=True)
class LayerPair:
    """Two layers of a workload of which the second alone reads what the first puts out.

    Attributes:
        producer: place of the first among the workload's layers.
        consumer: place of the second; that of the first, too, where equal layers follow each other.
        count: how often the two run one behind the other per inference.
        between: operators beside the array on the values between them, in one run of the pair.
    """

    producer: int
    consumer: int
    count: int = 1
    between: tuple[VectorUse, ...] = ()

    def __post_init__(self) -> None:
        if self.producer < 0 or self.consumer < 0 or self.count < 1:
            raise ValueError(f"{self} is not allowed; places are 0 or more, count is 1 or more")


@dataclass(frozen=True, slots=True)
class SharedLoop:
    """A loop over the intermediate that both layers can turn together.

    Attributes:
        producer: its dimension in the producer.
        consumer: its dimension in the consumer.
        bound: the most tiles that it can have, so that none is empty: its length in the consumer.
        overlap: rows or columns of the intermediate that neighbouring tiles of the consumer share.
    """

    producer: str
    consumer: str
    bound: int
    overlap: int = 0


class UnfusableError(ValueError):
    """Two layers that do not follow each other: says which size does not fit."""


def shared_loops(producer: Layer, consumer: Layer) -> tuple[SharedLoop, ...]:
    """Return the loops over the producer's outputs that the consumer can turn over its inputs, too.

    Channels of the intermediate are the outputs K of the producer and the inputs C of the consumer, or the groups G of
    one that is depthwise. A consumer may pad the intermediate at its edges.

    Raises:
        UnfusableError: if what the one puts out is not what the other reads.
    """
    if producer.N != consumer.N:
        raise UnfusableError(f"N={producer.N} of {producer.name} is not N={consumer.N} of {consumer.name}")
    if producer.K != consumer.C:
        raise UnfusableError(f"{producer.name} puts out {producer.K} channels, {consumer.name} reads {consumer.C}")
    found = [SharedLoop("N", "N", consumer.N), *_channels(producer, consumer)]
    for axis, stride, taps, dilation in (("P", "stride_h", "R", "dilation_h"), ("Q", "stride_w", "S", "dilation_w")):
        step = getattr(consumer, stride)
        window = (getattr(consumer, taps) - 1) * getattr(consumer, dilation) + 1
        there, tiles = getattr(producer, axis), getattr(consumer, axis)
        wanted = (tiles - 1) * step + window
        if not wanted - 2 * (window - 1) <= there <= wanted + step - 1:
            raise UnfusableError(
                f"{producer.name} puts out {axis}={there}, {consumer.name} reads {wanted}, padding included"
            )
        found.append(SharedLoop(axis, axis, tiles, max(0, window - step)))
    return tuple(loop for loop in found if loop.bound > 1)


def _channels(producer: Layer, consumer: Layer) -> list[SharedLoop]:
    """Return the loops over channels; none where groups of the two cut the channels differently."""
    outputs, inputs = producer.K // producer.groups, consumer.C // consumer.groups
    if producer.groups == consumer.groups:
        return [SharedLoop("G", "G", consumer.groups), SharedLoop("K", "C", inputs)]
    if outputs == 1 and consumer.groups == 1:
        return [SharedLoop("G", "C", inputs)]
    if producer.groups == 1 and inputs == 1:
        return [SharedLoop("K", "G", consumer.groups)]
    return []


def merged_pairs(
    uses: Sequence[LayerUse], found: Iterable[LayerPair], merged: Sequence[LayerUse]
) -> tuple[LayerPair, ...]:
    """Return pairs by the places of merged layers, equal ones as one; those are left out that share no shape.

    Args:
        uses: layers as they follow each other.
        found: pairs of them, by their places.
        merged: the layers, equal ones as one.
    """
    places = {use.layer: place for place, use in enumerate(merged)}
    counted: dict[LayerPair, int] = {}
    for pair in found:
        first, second = (uses[place].layer for place in (pair.producer, pair.consumer))
        try:
            shared_loops(first, second)
        except UnfusableError:
            continue
        one = replace(pair, producer=places[first], consumer=places[second], count=1)
        counted[one] = counted.get(one, 0) + pair.count
    return tuple(replace(pair, count=count) for pair, count in counted.items())
