"""Perceptrons as a member: several small networks of the encoded parameters, whose mean is the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from optuna import Trial
from torch import Tensor, nn
from torch.nn import functional

from armillary.cores import one_thread
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.learned import under
from armillary.surrogates.auto.member import Lesson, Opinion, Parts

NETWORKS = 4
_STEPS, _RATE = 300, 0.01
_SETTING: Mapping[str, Any] = {"width": 32, "decay": 0.01}


class Perceptron:
    """The networks, of two hidden layers with a linear part beside them; how they differ is how unsure they are.

    Args:
        encoding: of points.
        networks: trained.
        setting: with which they were built.
    """

    name: ClassVar[str] = "perceptrons"

    def __init__(self, encoding: Encoding, networks: list[_Network], setting: Mapping[str, Any]) -> None:
        self._encoding, self._networks, self._setting = encoding, networks, dict(setting)

    @classmethod
    def learned(
        cls, encoding: Encoding, lesson: Lesson, seed: int, setting: Mapping[str, Any] | None = None
    ) -> Perceptron:
        """Return the networks of a lesson."""
        chosen = {**_SETTING, **(setting or {})}
        columns = torch.from_numpy(encoding.columns(lesson.points)).float()
        targets = torch.from_numpy(lesson.targets).float()
        with one_thread(), torch.random.fork_rng(devices=[]):
            networks = [_trained(columns, targets, chosen, seed + k) for k in range(NETWORKS)]
        return cls(encoding, networks, chosen)

    @staticmethod
    def suggested(trial: Trial) -> dict[str, Any]:
        """Return another setting to try."""
        return {
            "width": trial.suggest_categorical("width", [16, 32, 64]),
            "decay": trial.suggest_float("decay", 1e-4, 1.0, log=True),
        }

    def again(self, lesson: Lesson, seed: int) -> Perceptron:
        """Return the same of another lesson, learned anew."""
        return self.learned(self._encoding, lesson, seed, self._setting)

    def predict(self, points: Points) -> Opinion:
        """Return the mean of the networks, and how they differ."""
        columns = torch.from_numpy(self._encoding.columns(points)).float()
        with torch.inference_mode():
            every = torch.stack([network(columns) for network in self._networks]).double().numpy()
        return every.mean(axis=0), every.std(axis=0)

    def parts(self) -> Parts:
        """Return what `of` makes the networks of again."""
        tensors = {f"{k}/{n}": t for k, network in enumerate(self._networks) for n, t in network.state_dict().items()}
        return {"setting": self._setting}, tensors

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Perceptron:
        """Return the networks that `parts` described."""
        networks = []
        for k in range(len({name.partition("/")[0] for name in tensors})):
            network = _Network(encoding.width, content["setting"]["width"])
            network.load_state_dict(under(str(k), tensors))
            networks.append(network)
        return cls(encoding, networks, content["setting"])


class _Network(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 1)
        self.deep = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, columns: Tensor) -> Tensor:
        value: Tensor = self.linear(columns) + self.deep(columns)
        return value[:, 0]


def _trained(columns: Tensor, targets: Tensor, setting: Mapping[str, Any], seed: int) -> _Network:
    torch.manual_seed(seed)
    network = _Network(columns.shape[1], setting["width"])
    adam = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=setting["decay"])
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, _STEPS)
    for _ in range(_STEPS):
        adam.zero_grad()
        torch.autograd.backward(functional.smooth_l1_loss(network(columns), targets, beta=0.1))
        adam.step()
        falling.step()
    return network.eval()
