"""A deep ensemble that learns values and feasibility apart, by squared error or by listwise ranking.

Where PRIME has one conservative value that is pushed up at infeasible designs, these networks have
two outputs: the value, learned from feasible designs alone, and the log-odds of being feasible, learned
from all and calibrated on rows kept apart. What a design is ranked by is the value plus the
disagreement of the members (a lower confidence bound of its goodness) plus the surprise of it being feasible.

A bound on the area is not learned at all: the area of a design is known exactly, and whoever proposes
designs holds to the bound. PRIME counts designs beyond it as infeasible. In a log of which the best
designs are missing that teaches a surrogate that good designs are infeasible; on t-RNN Enc all
designs that hold the weights on chip are then lost.

Sources: Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep ensembles",
    NeurIPS 2017; ListNet of Cao et al., ICML 2007, as the ranking surrogate RaM (Tan et al., ICLR 2025)
    uses it for offline optimization; temperature scaling of Guo et al., ICML 2017.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from armillary.cores import one_thread, ranges, workers
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.devices import device_of
from armillary.surrogates.inputs import Inputs
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.rows import (
    Rows,
    Scale,
    below_the_log,
    features_of,
    joined,
    prepare,
    scale_of,
    unlike,
)
from armillary.surrogates.selection import with_seconds
from armillary.types import ArmillaryError, Evaluations, Log, Prediction
from armillary.workloads.context import Context

Loss = Literal["squares", "listnet"]
LOSSES: tuple[Loss, ...] = ("squares", "listnet")
Said = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Value and disagreement in standard units, and the chance to be feasible, each of shape [designs]."""
_HELD = 0.1
_LEAST_CHANCE = 1e-4
_AT_ONCE = {"cpu": 512, "cuda": 1 << 18}  # designs; on a CPU, so few that their activations stay in its caches


@dataclass(frozen=True)
class Setting:
    """How the ensemble is built, trained and read.

    Attributes:
        members: networks, each with its own start and its own batches.
        hidden: width of the two hidden layers.
        steps: gradient steps of a fit; `more_steps` those that follow new rows.
        more_steps: likewise.
        steps_per_workload: the steps of a fit are so many for each workload of the log, if that is more.
        batch: feasible rows per step, and as many of all kinds for the feasibility.
        learning_rate: of Adam, decaying to a hundredth over a fit.
        decay: of weights.
        caution: standard deviations added to the value.
        surprise: weight of minus the logarithm of the probability of feasibility, in standard units.
    """

    members: int = 5
    hidden: int = 128
    steps: int = 1500
    more_steps: int = 150
    steps_per_workload: int = 0
    batch: int = 128
    learning_rate: float = 3e-3
    decay: float = 1e-4
    caution: float = 0.3
    surprise: float = 0.3

    def __post_init__(self) -> None:
        if self.members < 2:
            raise ArmillaryError(f"members={self.members} must be at least 2: it is their disagreement that is read")


class Networks:
    """The members: tensors whose first axis is the member; warm from one training to the next."""

    def __init__(self, inputs: int, setting: Setting, loss: Loss, seed: int) -> None:
        self._setting, self._loss = setting, loss
        self._generator = torch.Generator().manual_seed(seed)
        self._rng = np.random.default_rng([seed, 2])
        sizes = (inputs, setting.hidden, setting.hidden, 2)
        self._weights = [self._drawn(a, b) for a, b in pairwise(sizes)]
        self._biases = [torch.zeros(setting.members, 1, b, requires_grad=True) for b in sizes[1:]]
        self._adam = torch.optim.Adam([*self._weights, *self._biases], lr=setting.learning_rate)

    def _drawn(self, inputs: int, outputs: int) -> Tensor:
        bound = 1 / math.sqrt(inputs)
        shape = (self._setting.members, inputs, outputs)
        return ((torch.rand(shape, generator=self._generator) * 2 - 1) * bound).requires_grad_()

    def outputs(self, x: Tensor, members: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return value and log-odds, [members, rows], of inputs [rows, inputs] or [members, rows, inputs]."""
        layers = [(bias[members], weight[members]) for bias, weight in zip(self._biases, self._weights, strict=True)]
        return _outputs(layers, x)

    def on(self, device: torch.device) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return `outputs` of the members as they are now, for inputs on a device; it is not trained through."""
        pairs = zip(self._biases, self._weights, strict=True)
        return partial(_outputs, [(bias.detach().to(device), weight.detach().to(device)) for bias, weight in pairs])

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        every = {"weight": self._weights, "bias": self._biases}
        return {f"{name}{k}": tensor for name, tensors in every.items() for k, tensor in enumerate(tensors)}

    def adopt(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights of the same shapes."""
        with torch.no_grad():
            for name, tensor in self.tensors().items():
                tensor.copy_(tensors[name])

    def train(
        self,
        good: Tensor,
        targets: Tensor,
        bad: Tensor,
        steps: int,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        """Take gradient steps on feasible rows with their targets, and on infeasible rows."""
        draw = self._drawn_loss(good, targets, bad)
        with one_thread():  # products this small are no faster on two
            for step in range(steps):
                self._step(draw(), 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
                if on_step:
                    on_step(step + 1)

    def mentor(
        self,
        good: Tensor,
        targets: Tensor,
        bad: Tensor,
        steps: int,
        pairs: tuple[Tensor, Tensor],
        weight: float,
    ) -> None:
        """Take gradient steps towards what most members say of pairs of designs, besides those of `train`.

        Args:
            good: inputs of feasible rows.
            targets: their values.
            bad: inputs of infeasible rows.
            steps: how many.
            pairs: inputs of the first and of the second design of each pair, each [pairs, inputs].
            weight: of the pairs' loss.
        """
        with torch.no_grad():
            worse = (self.outputs(pairs[0])[0] > self.outputs(pairs[1])[0]).float().mean(dim=0).round()
        draw = self._drawn_loss(good, targets, bad)
        with one_thread():
            for _ in range(steps):
                ahead = self.outputs(pairs[0])[0] - self.outputs(pairs[1])[0]
                told = functional.binary_cross_entropy_with_logits(ahead, worse.expand_as(ahead), reduction="none")
                self._step(draw() + weight * told.mean(dim=1), 0.1)

    def _drawn_loss(self, good: Tensor, targets: Tensor, bad: Tensor) -> Callable[[], Tensor]:
        """Return what draws a batch for each member and returns its loss, shape [members]."""
        every = torch.cat([good, bad])
        labels = torch.cat([torch.ones(len(good)), torch.zeros(len(bad))])
        shape = (self._setting.members, self._setting.batch)

        def draw() -> Tensor:
            rows = torch.from_numpy(self._rng.integers(0, len(good), shape))
            mixed = torch.from_numpy(self._rng.integers(0, len(every), shape))
            value, odds = self.outputs(torch.cat([good[rows], every[mixed]], dim=1))
            feasibility = functional.binary_cross_entropy_with_logits(
                odds[:, shape[1] :], labels[mixed], reduction="none"
            )
            return self._value_loss(value[:, : shape[1]], targets[rows]) + feasibility.mean(dim=1)

        return draw

    def _step(self, loss: Tensor, rate: float) -> None:
        """Take one gradient step at a share of the learning rate; weights decay."""
        self._adam.param_groups[0]["lr"] = rate * self._setting.learning_rate
        weights = torch.stack([(w**2).sum() for w in self._weights]).sum()
        self._adam.zero_grad()
        (loss.sum() + self._setting.decay * weights).backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def _value_loss(self, value: Tensor, target: Tensor) -> Tensor:
        if self._loss == "squares":
            return ((value - target) ** 2).mean(dim=1)
        # a list of good designs first: both are smaller-is-better
        return -(torch.softmax(-target, dim=1) * torch.log_softmax(-value, dim=1)).sum(dim=1)


def _outputs(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return value and log-odds, each [members, rows]; see `Networks.outputs`."""
    x = x.expand(len(layers[0][0]), *x.shape[-2:])
    for bias, weight in layers[:-1]:
        x = functional.silu(torch.baddbmm(bias, x, weight))
    value, odds = torch.baddbmm(layers[-1][0], x, layers[-1][1]).unbind(-1)
    return value, odds


@dataclass
class _Fitted:
    networks: Networks
    inputs: Inputs
    problem: Problem
    workloads: tuple[str, ...]
    scales: tuple[Scale, ...]
    line: tuple[float, float] = (1.0, 0.0)
    temperature: float = 1.0
    brier: float = float("nan")
    reliability: tuple[tuple[float, float, int], ...] = field(default_factory=tuple)
    seconds: float = float("nan")
    least: Mapping[str, float] = field(default_factory=dict)


class DeepEnsemble:
    """The ensemble as a surrogate.

    Args:
        space: the space whose designs the log holds.
        seed: same seed, log and machine, same model.
        loss: `squares`, or `listnet`, which learns the order alone and with it the best most.
        learn_beyond: learn the values of feasible designs beyond the bounds that laws tell; else leave them out.
        derived: tell the networks what the space derives of a design and a workload, too, if it does.
        setting: how the ensemble is built, trained and read.
        device: where it predicts: `cpu`, or `cuda` for a GPU; it trains on the CPU.
        on_progress: called during `fit` with steps done and in total.
        options: fields of the setting to change.
    """

    kind = "deep-ensemble"

    def __init__(
        self,
        *,
        space: Space,
        seed: int = 0,
        loss: Loss = "squares",
        learn_beyond: bool = True,
        derived: bool = False,
        setting: Setting | None = None,
        device: str = "cpu",
        on_progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> None:
        if loss not in LOSSES:
            raise ArmillaryError(f"loss {loss!r} is unknown; choose one of {list(LOSSES)}")
        unknown = sorted(set(options) - set(Setting.__dataclass_fields__))
        if unknown:
            raise ArmillaryError(f"{unknown[0]!r} is no setting; choose some of {list(Setting.__dataclass_fields__)}")
        self.space, self._seed, self._loss = space, seed, loss
        self._learn_beyond, self._derived = learn_beyond, derived
        self._setting = Setting(**{**vars(setting or Setting()), **options})
        self._device, self._on_progress = device_of(device), on_progress
        self._state: _Fitted | None = None

    def fit(self, log: Log, problem: Problem) -> DeepEnsemble:
        """Train on a log, and calibrate on a tenth of it.

        Raises:
            ArmillaryError: if the log cannot be learned from; the message says why.
        """
        started = time.perf_counter()
        rng = np.random.default_rng([self._seed, 1])
        data = prepare(
            self.space,
            self._rows_to_learn(log.evaluations(self.space.name), problem),
            problem,
            transform="log",
            validation_share=0.2,
            minimum_rows=20,
            rng=rng,
        )
        good, bad = joined(data.train, data.valid), joined(data.infeasible, data.infeasible_held)
        inputs = Inputs.of(self.space, data.feature_names, data.contexts, (good, bad), self._derived)
        self._state = _Fitted(
            Networks(inputs.width, self._setting, self._loss, self._seed),
            inputs,
            problem,
            data.workloads,
            data.scales,
            least=data.least,
        )
        self._learn(good, bad, rng)
        self._state.seconds = time.perf_counter() - started
        return self

    @property
    def problem(self) -> Problem:
        """What was learned."""
        return self._fitted.problem

    @property
    def brier(self) -> float:
        """Mean squared error of the probability of feasibility on rows that were not trained on."""
        return self._fitted.brier

    @property
    def reliability(self) -> tuple[tuple[float, float, int], ...]:
        """Per bin of predicted probability: its mean, the share that is feasible, and the rows."""
        return self._fitted.reliability

    def predict(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters].

        Returns:
            `mean`: the cautious value that ranks designs, in the unit of the metric; see the module.
            `std`: disagreement of the members; `p_feasible`: calibrated probability of being feasible
            and within the bounds that are not exact.

        Raises:
            ArmillaryError: before `fit`, or if a model of several workloads is not told which.
        """
        fitted, features = self._fitted, self._features(context)
        value, spread, chance = self.said(designs, features)
        scale = scale_of(features, fitted.inputs.feature_names, fitted.inputs.contexts, fitted.scales)
        cautious = value + self._setting.caution * spread - self._setting.surprise * np.log(chance)
        mean = scale.restore(cautious)
        return Prediction(mean=mean, std=scale.restore_spread(spread, mean), p_feasible=chance)

    def said(self, codes: NDArray[np.int64], features: NDArray[np.float64] | None) -> Said:
        """Return what it says of designs, shape [designs, parameters], of a workload with these features."""
        fitted = self._fitted
        value, spread, chance = (np.empty(len(codes)) for _ in range(3))
        slope, offset = fitted.line

        outputs = fitted.networks.on(self._device)

        def work(first: int, last: int) -> None:
            with torch.inference_mode():
                out, odds = outputs(fitted.inputs(codes[first:last], features, self._device))
                likely = torch.sigmoid(odds / fitted.temperature).mean(dim=0)
                told = torch.stack([out.mean(dim=0), out.std(dim=0), likely]).double().cpu().numpy()
            value[first:last] = offset + slope * told[0]
            spread[first:last] = abs(slope) * told[1]
            chance[first:last] = told[2]

        with workers(self._device) as share:
            share(work, ranges(len(codes), _AT_ONCE[self._device.type]))
        return value, spread, np.clip(chance, _LEAST_CHANCE, 1 - _LEAST_CHANCE)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of a context that it was fitted with."""
        return self._fitted.inputs.feature_names

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is unlike those that were trained on; see `rows.unlike`."""
        fitted = self._fitted
        return unlike(context.as_dict(), fitted.inputs.feature_names, fitted.inputs.contexts, fitted.workloads)

    def below_the_log(self, metric: str, at_most: float) -> str | None:
        """Return a warning if a bound lies below every design learned from; see `rows.below_the_log`."""
        return below_the_log(metric, at_most, self._fitted.least)

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training."""
        fitted = self._fitted
        return with_seconds({"members": self._setting.members, "brier": fitted.brier}, fitted.seconds)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `of` makes the model of again: a description as JSON can hold it, and the weights by name."""
        fitted = self._fitted
        content = {
            "loss": self._loss,
            "learn_beyond": self._learn_beyond,
            "derived": [fitted.inputs.location.tolist(), fitted.inputs.spread.tolist()],
            "setting": asdict(self._setting),
            "workloads": list(fitted.workloads),
            "feature_names": list(fitted.inputs.feature_names),
            "contexts": fitted.inputs.contexts.tolist(),
            "scales": [asdict(scale) for scale in fitted.scales],
            "calibration": [fitted.line, fitted.temperature, fitted.brier, fitted.reliability],
            "least": dict(fitted.least),
        }
        return content, fitted.networks.tensors()

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        problem: Problem,
        space: Space,
        device: str = "cpu",
    ) -> DeepEnsemble:
        """Return the model that `parts` described."""
        model = cls(space=space, device=device, **cls.options_of(content))
        names = tuple(content["feature_names"])
        contexts = np.array(content["contexts"], dtype=float).reshape(len(content["workloads"]), len(names))
        inputs = Inputs(space, names, contexts, *(np.array(part) for part in content["derived"]))
        networks = Networks(inputs.width, model._setting, model._loss, 0)
        networks.adopt(weights)
        line, temperature, brier, reliability = content["calibration"]
        model._state = _Fitted(
            networks=networks,
            inputs=inputs,
            problem=problem,
            workloads=tuple(content["workloads"]),
            scales=tuple(Scale(**scale) for scale in content["scales"]),
            line=(line[0], line[1]),
            temperature=temperature,
            brier=brier,
            reliability=tuple((mean, share, rows) for mean, share, rows in reliability),
            least=content["least"],
        )
        return model

    @classmethod
    def options_of(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the model that `parts` described."""
        told = {name: content[name] for name in ("loss", "learn_beyond")}
        return {**told, "derived": bool(content["derived"][0]), "setting": Setting(**content["setting"])}

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        content, weights = self.parts()
        model_file.save(target, self.kind, self.space, self.problem, content, weights)

    @classmethod
    def load(cls, path: str | Path, *, space: Space, device: str = "cpu") -> DeepEnsemble:
        """Read a fitted model.

        Raises:
            ArmillaryError: if the file is missing, no deep ensemble, or of another space or version.
        """
        content, weights = model_file.read(Path(path), space, cls.kind)
        return cls.of(content, weights, content["problem"], space, device)

    @property
    def _fitted(self) -> _Fitted:
        if self._state is None:
            raise ArmillaryError("this ensemble has not been fitted; call fit(log, problem) first")
        return self._state

    def _rows_to_learn(self, rows: Evaluations, problem: Problem) -> Evaluations:
        """Return the rows, without feasible ones beyond the exact bounds if those are not learned."""
        if self._learn_beyond:
            return rows
        exact = problem.with_bounds(lambda name: name in problem.laws and name in rows.metrics)
        return rows.select(~rows.feasible | exact.satisfied(rows))

    def _learn(self, good: Rows, bad: Rows, rng: np.random.Generator) -> None:
        """Train on nine tenths, then bring value and odds to scale on the last one."""
        fitted = self._fitted
        kept = [rng.random(len(rows)) >= _HELD for rows in (good, bad)]
        x = [fitted.inputs.of_rows(rows) for rows in (good, bad)]
        targets = torch.from_numpy(good.targets).float()
        steps = max(self._setting.steps, self._setting.steps_per_workload * len(fitted.workloads))

        def on_step(step: int) -> None:
            if self._on_progress:
                self._on_progress(step, steps)

        learned = x[0][kept[0]], targets[kept[0]], x[1][kept[1]]
        fitted.networks.train(*learned, steps, on_step)
        self._improve(good, learned, rng)
        with torch.inference_mode():
            if self._loss == "listnet":  # which leaves the scale of its values open
                value = fitted.networks.outputs(x[0])[0].mean(dim=0).double().numpy()
                slope, offset = np.polyfit(value, good.targets, 1)
                fitted.line = float(max(slope, 1e-6)), float(offset)
            held = torch.cat([x[0][~kept[0]], x[1][~kept[1]]])
            odds = fitted.networks.outputs(held)[1].double().numpy()
        labels = np.repeat([1.0, 0.0], [int((~kept[0]).sum()), int((~kept[1]).sum())])
        if 0 < labels.sum() < len(labels):
            fitted.temperature = _temperature(odds, labels)
            chance = _chance(odds, fitted.temperature)
            fitted.brier = float(np.mean((chance - labels) ** 2))
            fitted.reliability = reliability_of(chance, labels)

    def _improve(self, good: Rows, learned: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator) -> None:
        """Train on in a way of its own; nothing here.

        Args:
            good: feasible rows.
            learned: inputs of feasible rows, their values, and inputs of infeasible rows, as they were learned.
            rng: source of chance.
        """

    def _features(self, context: Context | None) -> NDArray[np.float64] | None:
        fitted = self._fitted
        told = None if context is None else context.as_dict()
        features = features_of(told, fitted.inputs.feature_names, fitted.inputs.contexts, fitted.workloads)
        return features if len(fitted.workloads) > 1 else None


def _chance(odds: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    return np.asarray((1 / (1 + np.exp(-np.clip(odds / temperature, -50, 50)))).mean(axis=0))


def _temperature(odds: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Return the temperature under which the held rows are most likely."""

    def surprise(log_temperature: float) -> float:
        chance = np.clip(_chance(odds, math.exp(log_temperature)), _LEAST_CHANCE, 1 - _LEAST_CHANCE)
        return float(-np.mean(labels * np.log(chance) + (1 - labels) * np.log(1 - chance)))

    return math.exp(float(minimize_scalar(surprise, bounds=(-2.0, 3.0), method="bounded").x))


def reliability_of(chance: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[tuple[float, float, int], ...]:
    """Return per bin of predicted probability its mean, the share that is feasible, and the rows."""
    where = np.minimum((chance * 10).astype(int), 9)
    return tuple(
        (float(chance[where == k].mean()), float(labels[where == k].mean()), int((where == k).sum()))
        for k in range(10)
        if (where == k).any()
    )


def ranking(**options: Any) -> DeepEnsemble:
    """Return the ranking surrogate of RaM-ListNet, with the feasibility model that sequences do not need."""
    return DeepEnsemble(loss="listnet", **options)


KIND = SurrogateKind(DeepEnsemble, read=DeepEnsemble.load)
RANKING = SurrogateKind(ranking, read=DeepEnsemble.load)
