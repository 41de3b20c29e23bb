"""A graph convolutional network of the logical hierarchy as a member: several networks, whose mean is the value.

Convolutions over the hierarchy graph are pooled over the instances of an architecture; the knobs of the back end join
behind the pooling, and so do the features' sums over the architecture. What follows is a linear part and a small
network beside it.

Sources: Esmaeilzadeh et al. (arXiv 2308.12120): graph convolutions on the logical hierarchy, with the back end's knobs
as global inputs; Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", 2017, of which
PyTorch Geometric has the layer. Widths, depths, the linear part and the ensemble are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCNConv, global_add_pool
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from armillary.cores import one_thread
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.learned import under
from armillary.surrogates.auto.member import Lesson, Opinion, Parts
from armillary.surrogates.ppa.graph import FEATURES, Architectures, HierarchyGraph

NETWORKS = 4
_CONVOLUTIONS, _WIDTH, _HIDDEN = 3, 24, 48
_STEPS, _RATE, _DECAY = 400, 0.01, 1e-3


class GraphBatch:
    """Graphs as a network takes them: one graph whose parts are not joined.

    Args:
        graphs: at least one.
        location: mean of each feature's logarithm over instances, and of each total's, shape [2 features].
        spread: their standard deviations.
    """

    def __init__(self, graphs: Sequence[HierarchyGraph], location: NDArray[np.float64], spread: NDArray[np.float64]):
        sizes = [len(graph.parent) for graph in graphs]
        starts = np.cumsum([0, *sizes[:-1]])
        child = np.concatenate([np.flatnonzero(g.parent >= 0) + start for g, start in zip(graphs, starts, strict=True)])
        parent = np.concatenate([g.parent[g.parent >= 0] + s for g, s in zip(graphs, starts, strict=True)])
        times = np.concatenate([g.times[g.parent >= 0] for g in graphs])
        edges = torch.from_numpy(np.stack([np.append(child, parent), np.append(parent, child)]))
        # a parent hears each instance below it, an instance its one parent
        weights = torch.from_numpy(np.append(times, np.ones(len(times)))).float()
        self.edges, self.weights = gcn_norm(edges, weights, sum(sizes))
        nodes, totals = logarithms(graphs)
        both = len(FEATURES)
        self.nodes = torch.from_numpy((nodes - location[:both]) / spread[:both]).float()
        self.totals = torch.from_numpy((totals - location[both:]) / spread[both:]).float()
        self.graph = torch.from_numpy(np.repeat(np.arange(len(graphs)), sizes))
        share = np.concatenate([g.instances / g.instances.sum() for g in graphs])
        self.share = torch.from_numpy(share[:, None]).float()


def logarithms(graphs: Sequence[HierarchyGraph]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features of all nodes, and the totals of each graph, as logarithms of one and the amount."""
    return (
        np.log2(1 + np.concatenate([graph.features for graph in graphs])),
        np.log2(1 + np.stack([graph.totals for graph in graphs])),
    )


class Network(nn.Module):
    """One network, of so many global inputs."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = [len(FEATURES), *[_WIDTH] * _CONVOLUTIONS]
        self.convolutions = nn.ModuleList(GCNConv(one, other, normalize=False) for one, other in pairwise(widths))
        every = _WIDTH + len(FEATURES) + inputs
        self.linear = nn.Linear(every, 1)
        self.deep = nn.Sequential(
            nn.Linear(every, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, 1)
        )

    def embedded(self, batch: GraphBatch) -> Tensor:
        """Return what the network knows of each architecture, shape [graphs, width]."""
        nodes = batch.nodes
        for convolution in self.convolutions:
            nodes = torch.relu(convolution(nodes, batch.edges, batch.weights))
        return torch.cat([global_add_pool(nodes * batch.share, batch.graph, len(batch.totals)), batch.totals], dim=1)

    def value(self, embedded: Tensor, inputs: Tensor) -> Tensor:
        """Return the value of designs, shape [designs], of what is known of their architectures and global inputs."""
        every = torch.cat([embedded, inputs], dim=1)
        value: Tensor = self.linear(every) + self.deep(every)
        return value[:, 0]


class GraphNetwork:
    """Networks of the hierarchy graph; how they differ is how unsure they are.

    Args:
        encoding: of points.
        networks: trained.
        location: of the features' logarithms, see `GraphBatch`.
        spread: likewise.
    """

    name: ClassVar[str] = "graph network"

    def __init__(
        self,
        encoding: Encoding,
        networks: Sequence[Network],
        location: NDArray[np.float64],
        spread: NDArray[np.float64],
    ) -> None:
        self._encoding, self._networks, self._location, self._spread = encoding, list(networks), location, spread
        self._architectures = Architectures.of(encoding.space)
        self._columns = _global_columns(encoding, self._architectures)
        self._known: dict[tuple[int, ...], Tensor] = {}  # what each network knows, by the architecture's codes

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int) -> GraphNetwork:
        """Return the networks of a lesson."""
        architectures = Architectures.of(encoding.space)
        graphs, which = architectures.graphs(lesson.points.codes)
        nodes, totals = logarithms(graphs)
        location = np.append(nodes.mean(axis=0), totals.mean(axis=0))
        spread = np.append(nodes.std(axis=0), totals.std(axis=0))
        spread[spread < 1e-9] = 1.0
        batch, place = GraphBatch(graphs, location, spread), torch.from_numpy(which)
        inputs = _inputs(encoding, _global_columns(encoding, architectures), lesson.points)
        targets = torch.from_numpy(lesson.targets).float()
        with one_thread(), torch.random.fork_rng(devices=[]):
            networks = [_trained(batch, place, inputs, targets, seed + k) for k in range(NETWORKS)]
        return cls(encoding, networks, location, spread)

    def again(self, lesson: Lesson, seed: int) -> GraphNetwork:
        """Return the same of another lesson, learned anew."""
        return self.learned(self._encoding, lesson, seed)

    def predict(self, points: Points) -> Opinion:
        """Return the mean of the networks, and how they differ.

        Raises:
            ArmillaryError: if the RTL of an architecture that is not known yet cannot be read; says why.
        """
        if not len(points):
            return np.empty(0), np.empty(0)
        with torch.inference_mode():
            known, inputs = self._embedded(points.codes), _inputs(self._encoding, self._columns, points)
            values = [net.value(known[k], inputs) for k, net in enumerate(self._networks)]
            every = torch.stack(values).double().numpy()
        return every.mean(axis=0), every.std(axis=0)

    def _embedded(self, codes: NDArray[np.int64]) -> Tensor:
        """Return what each network knows of designs' architectures, shape [networks, designs, width]."""
        own = list(self._architectures.own)
        rows, which = np.unique(codes[:, own], axis=0, return_index=True, return_inverse=True)[1:]
        keys = [tuple(key) for key in codes[rows][:, own].tolist()]
        unknown = [place for place, key in enumerate(keys) if key not in self._known]
        if unknown:
            graphs, graph = self._architectures.graphs(codes[rows[unknown]])
            batch = GraphBatch(graphs, self._location, self._spread)
            told = torch.stack([network.embedded(batch) for network in self._networks])
            self._known |= {keys[place]: told[:, k] for place, k in zip(unknown, graph.tolist(), strict=True)}
        return torch.stack([self._known[key] for key in keys], dim=1)[:, torch.from_numpy(which.reshape(-1))]

    def parts(self) -> Parts:
        """Return what `of` makes the member of again."""
        tensors = {
            f"{k}/{name}": tensor
            for k, network in enumerate(self._networks)
            for name, tensor in network.state_dict().items()
        }
        scale = torch.from_numpy(np.stack([self._location, self._spread]))
        return {}, {**tensors, "scale": scale}

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GraphNetwork:  # noqa: ARG003
        """Return the member that `parts` described."""
        inputs = len(_global_columns(encoding, Architectures.of(encoding.space)))
        networks = []
        for k in range(NETWORKS):
            network = Network(inputs)
            network.load_state_dict(under(str(k), tensors))
            networks.append(network)
        location, spread = tensors["scale"].numpy()
        return cls(encoding, networks, location, spread)


def _trained(batch: GraphBatch, place: Tensor, inputs: Tensor, targets: Tensor, seed: int) -> Network:
    torch.manual_seed(seed)
    network = Network(inputs.shape[1])
    adam = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, _STEPS)
    for _ in range(_STEPS):
        adam.zero_grad()
        value = network.value(network.embedded(batch)[place], inputs)
        torch.autograd.backward(functional.smooth_l1_loss(value, targets, beta=0.1))
        adam.step()
        falling.step()
    return network.eval()


def _inputs(encoding: Encoding, columns: Sequence[int], points: Points) -> Tensor:
    """Return the global inputs of points, shape [points, inputs]."""
    return torch.from_numpy(encoding.columns(points)[:, columns]).float()


def _global_columns(encoding: Encoding, architectures: Architectures) -> list[int]:
    """Return which columns are global inputs: those of the knobs and of the features of the workload.

    What the space derives of a design is left out: the graph has it.
    """
    own = {encoding.space.names[place] for place in architectures.own}
    others = [group for group in encoding.groups if group.name not in own and not group.name.startswith("derived ")]
    return [k for group in others for k in range(group.start, group.stop)]
