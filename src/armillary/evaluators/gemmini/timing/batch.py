"""The timing of many mapped layers on many accelerators at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.cores import ranges, workers
from armillary.cost_model.batch import LayerBatch, MappingBatch
from armillary.cost_model.packed import nests_of, works_of
from armillary.evaluators.gemmini.timing.machine import machines_of
from armillary.evaluators.gemmini.timing.schedule import cycles_of_some, room
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_AT_ONCE = 1_024
_QUEUE_DEPTH = 10


def physics_cycles(
    accelerators: Accelerator | Sequence[Accelerator],
    layers: Layer | Sequence[Layer],
    mappings: Sequence[Mapping] | MappingBatch,
) -> NDArray[np.float64]:
    """Return the cycles that the hardware takes for mapped layers, by the commands that the compiler makes of them.

    Nothing here is fitted to a simulation: the numbers are those of the accelerator and of the pipeline stages of its
    blocks, see `stages`.

    Args:
        accelerators: one for all, or one per mapping.
        layers: likewise, packed as the array runs them.
        mappings: n of them, which the compiler takes: of one that it refuses the cycles mean nothing.

    Returns:
        From reset to the last answer of DRAM, shape [n].

    Raises:
        ArmillaryError: if the numbers of accelerators, layers and mappings do not match.
    """
    batch = mappings if isinstance(mappings, MappingBatch) else MappingBatch.of(mappings)
    machines = machines_of([accelerators] if isinstance(accelerators, Accelerator) else accelerators)
    work = LayerBatch.of([layers] if isinstance(layers, Layer) else layers)
    n = len(batch)
    sizes = {"accelerators": len(machines), "layers": len(work), "mappings": n}
    if any(size not in (1, n) for size in sizes.values()):
        raise ArmillaryError(f"a batch of {sizes} does not match; give one of a kind, or one per mapping")
    nests, works, out = nests_of(batch), works_of(work), np.empty(n)
    own = (int(len(work) > 1), int(len(machines) > 1))
    depth, no_trace = int(machines[:, _QUEUE_DEPTH].max()), np.ones((1, 4))

    def some(first: int, last: int) -> None:
        cycles_of_some(nests, works, machines, own, first, last, room(depth), out, no_trace)

    parts = ranges(n, _AT_ONCE)
    some(*parts[0])  # which compiles the kernel, where that is needed, once
    if len(parts) > 1:
        with workers(torch.device("cpu")) as share:
            share(some, parts[1:])
    return out
