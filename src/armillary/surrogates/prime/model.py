"""The network of PRIME, for many members at once.

Every tensor has a leading axis `members`: the grid over alpha and beta is one stack of networks,
so that one batched matrix product serves all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]
TOKENS_AT_ONCE = {"cpu": 5120, "cuda": 163_840}
"""Parameters of designs to be read together: on a CPU, so few that their activations stay in its caches."""


@dataclass(frozen=True)
class Architecture:
    """The shape of the network; the defaults are those of the paper's Appendix B.

    The paper leaves open the number of attention heads, the width inside the transformer's
    feed-forward part, and the prediction networks; those defaults are ours, the small side of what
    ranked as well (the public release has 8, 256 and 256).

    Attributes:
        cardinalities: number of values of each parameter of the space.
        contexts: number of context features, 0 for a model of one workload.
        width: length of a parameter's embedding.
        attention_heads: must divide `width`.
        feed_forward: width inside each transformer layer.
        layers: self-attention layers.
        predictors: M, the prediction networks that are mixed.
        hidden: width of the two hidden layers of a prediction network.
        gate: width of the two hidden layers of the soft-attention network.
    """

    cardinalities: tuple[int, ...]
    contexts: int = 0
    width: int = 64
    attention_heads: int = 4
    feed_forward: int = 128
    layers: int = 2
    predictors: int = 7
    hidden: int = 64
    gate: int = 256

    @property
    def flat(self) -> int:
        """Length of the embedding of a whole design (640 for ten parameters)."""
        return self.width * len(self.cardinalities)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready."""
        return {**asdict(self), "cardinalities": list(self.cardinalities)}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Architecture:
        """Return the architecture that `as_dict` described."""
        return Architecture(**{**fields, "cardinalities": tuple(fields["cardinalities"])})


def initial_weights(shape: Architecture, members: int, generator: torch.Generator) -> Weights:
    """Return freshly drawn weights, every tensor of shape [members, ...].

    All members start from the same draw, so that they differ by alpha and beta only.
    """

    def dense(inputs: int, *outputs: int) -> Tensor:
        bound = 1 / math.sqrt(inputs)
        return (torch.rand(*outputs[:-1], inputs, outputs[-1], generator=generator) * 2 - 1) * bound

    d, h, g, m = shape.width, shape.hidden, shape.gate, shape.predictors
    weights = {"embed": torch.randn(sum(shape.cardinalities), d, generator=generator) * 0.5}
    for k in range(shape.layers):
        weights |= {
            f"qkv{k}": dense(d, 3 * d),
            f"out{k}": dense(d, d),
            f"up{k}": dense(d, shape.feed_forward),
            f"down{k}": dense(shape.feed_forward, d),
            **{f"{name}_bias{k}": torch.zeros(n) for name, n in _bias_widths(shape).items()},
            **{f"norm{part}_scale{k}": torch.ones(d) for part in "ab"},
            **{f"norm{part}_shift{k}": torch.zeros(d) for part in "ab"},
        }
    weights |= {
        "head1": dense(shape.flat, m * h),
        "head1_bias": torch.zeros(m * h),
        "head2": dense(h, m, h),
        "head2_bias": torch.zeros(m, h),
        "head3": dense(h, m, 1).squeeze(-1),
        "head3_bias": torch.zeros(m),
        "gate1": dense(shape.flat, g),
        "gate1_bias": torch.zeros(g),
        "gate2": dense(g, g),
        "gate2_bias": torch.zeros(g),
        "gate3": dense(g, m),
        "gate3_bias": torch.zeros(m),
    }
    if shape.contexts:
        weights["context"] = dense(shape.contexts, shape.flat)
    return {name: w.unsqueeze(0).repeat(members, *[1] * w.dim()) for name, w in weights.items()}


def _bias_widths(shape: Architecture) -> dict[str, int]:
    return {"qkv": 3 * shape.width, "out": shape.width, "up": shape.feed_forward, "down": shape.width}


class Fixed(NamedTuple):
    """What the network knows without learning: the first row of each parameter in the table, and the position code."""

    first_rows: Tensor
    position_code: Tensor


@lru_cache(maxsize=64)
def fixed_of(shape: Architecture, device: torch.device) -> Fixed:
    """Return what a network of this shape knows without learning, on a device."""
    with torch.inference_mode(False):  # they outlive the call, and may be trained with
        first_rows = torch.tensor([0, *shape.cardinalities[:-1]]).cumsum(0)
        return Fixed(first_rows.to(device), _position_code(len(shape.cardinalities), shape.width).to(device))


def forward(
    shape: Architecture,
    weights: Weights,
    codes: Tensor,
    contexts: Tensor | None = None,
    fixed: Fixed | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what the members predict, in standardised units.

    Args:
        shape: the architecture.
        weights: tensors of shape [members, ...].
        codes: value indices, int64 of shape [members, designs, parameters].
        contexts: normalised context of each design, shape [members, designs, features];
            needed exactly when the architecture has contexts.
        fixed: what `fixed_of` returns; who records the computation makes it beforehand.

    Returns:
        The mixed prediction and the spread of the predictors around it, both of shape
        [members, designs].

    Source: PRIME, Appendix B.1: f(x) = sum_i w_i(x) f_i(x), w from a soft-attention network. The
        contextual product starts at one (1 + W c), so that an untrained context changes nothing.
    """
    return mixed(shape, weights, embed(shape, weights, codes, fixed), contexts)


def embed(shape: Architecture, weights: Weights, codes: Tensor, fixed: Fixed | None = None) -> Tensor:
    """Return what the members read of designs, whatever the context, shape [members, designs, flat]; see `forward`."""
    first_rows, position_code = fixed or fixed_of(shape, codes.device)
    members, designs, parameters = codes.shape
    table = weights["embed"]
    values = table.shape[1]
    rows = codes + first_rows + values * torch.arange(members, device=codes.device).view(-1, 1, 1)
    tokens = functional.embedding(rows.view(members, -1), table.reshape(members * values, -1))
    tokens = tokens.view(members, designs, parameters, -1) + position_code
    x = tokens.view(members, designs * parameters, shape.width)
    for k in range(shape.layers):  # post-norm transformer layers
        x = _norm(weights, f"norma_{{}}{k}", x + _attend(shape, weights, x, designs, k))
        inner = torch.relu(_dense(weights, f"up{{}}{k}", x))
        x = _norm(weights, f"normb_{{}}{k}", x + _dense(weights, f"down{{}}{k}", inner))
    return x.reshape(members, designs, shape.flat)


def mixed(
    shape: Architecture, weights: Weights, embedding: Tensor, contexts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the weighted mean of the predictors and their weighted spread, each [members, designs]; see `forward`.

    Args:
        shape: the architecture.
        weights: tensors of shape [members, ...].
        embedding: of the designs, as `embed` returns it.
        contexts: normalised context of each design, shape [members, designs, features].
    """
    if shape.contexts:
        if contexts is None:
            raise ValueError("a contextual network needs contexts")
        embedding = embedding * (1 + torch.bmm(contexts, weights["context"]))
    members, designs, _ = embedding.shape
    m, h = shape.predictors, shape.hidden
    inner = functional.leaky_relu(_dense(weights, "head1{}", embedding), 0.1)
    inner = inner.view(members, designs, m, h).transpose(1, 2).reshape(members * m, designs, h)
    second = weights["head2"].reshape(members * m, h, h)
    inner = torch.baddbmm(weights["head2_bias"].reshape(members * m, 1, h), inner, second)
    inner = functional.leaky_relu(inner, 0.1)
    heads = torch.bmm(inner, weights["head3"].reshape(members * m, h, 1)).view(members, m, designs)
    heads = heads + weights["head3_bias"].unsqueeze(-1)
    gate = functional.leaky_relu(_dense(weights, "gate1{}", embedding), 0.1)
    gate = functional.leaky_relu(_dense(weights, "gate2{}", gate), 0.1)
    share = torch.softmax(_dense(weights, "gate3{}", gate), dim=-1).transpose(1, 2)
    mean = (share * heads).sum(dim=1)
    spread = (share * (heads - mean.unsqueeze(1)) ** 2).sum(dim=1)
    return mean, spread.clamp_min(0).sqrt()


def _attend(shape: Architecture, weights: Weights, x: Tensor, designs: int, k: int) -> Tensor:
    members, tokens, width = x.shape
    heads, own = shape.attention_heads, tokens // designs
    split = (members * designs, own, 3, heads, width // heads)
    q, key, v = _dense(weights, f"qkv{{}}{k}", x).view(split).permute(2, 0, 3, 1, 4).reshape(3, -1, own, width // heads)
    # torch's own attention is made for long sequences; among ten tokens plain products are a quarter faster
    share = torch.softmax(torch.bmm(q, key.transpose(1, 2)) / math.sqrt(width // heads), dim=-1)
    mixed = torch.bmm(share, v).view(members * designs, heads, own, -1).transpose(1, 2)
    return _dense(weights, f"out{{}}{k}", mixed.reshape(members, tokens, width))


def _dense(weights: Weights, name: str, x: Tensor) -> Tensor:
    return torch.baddbmm(weights[name.format("_bias")].unsqueeze(1), x, weights[name.format("")])


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    normal = functional.layer_norm(x, x.shape[-1:])
    return normal * weights[name.format("scale")].unsqueeze(1) + weights[name.format("shift")].unsqueeze(1)


def _position_code(positions: int, width: int) -> Tensor:
    """Return the sinusoidal position code of transformers, shape [positions, width]."""
    angle = torch.arange(positions).unsqueeze(1) / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width]
