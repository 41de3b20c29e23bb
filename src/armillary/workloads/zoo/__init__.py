"""The networks of the papers, and models of today, shape by shape and without weights.

The sizes of program of PRIME's nine applications are those of its Table 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload

_BUILDERS = {
    "bert": "sequences:bert",
    "conformer_s": "sequences:conformer_s",
    "diffusion_unet": "diffusion:diffusion_unet",
    "gpt2": "language:gpt2",
    "llama3_8b": "language:llama3_8b",
    "llama3_8b_block": "language:llama3_8b_block",
    "m4_like": "detectors:m4_like",
    "m5_like": "detectors:m5_like",
    "m6_like": "detectors:m6_like",
    "mixtral_block": "language:mixtral_block",
    "mnasnet": "classifiers:mnasnet",
    "mobilenet_edgetpu": "classifiers:mobilenet_edgetpu",
    "mobilenet_v2": "classifiers:mobilenet_v2",
    "mobilenet_v3_large": "classifiers:mobilenet_v3_large",
    "resnet18": "classifiers:resnet18",
    "resnet50": "classifiers:resnet50",
    "retinanet": "detectors:retinanet",
    "sam_vit_b": "vision:sam_vit_b",
    "t_rnn_dec": "sequences:t_rnn_dec",
    "t_rnn_enc": "sequences:t_rnn_enc",
    "transformer": "sequences:transformer",
    "unet": "segmentation:unet",
    "vgg16": "classifiers:vgg16",
    "vit_b": "vision:vit_b",
    "whisper_base": "language:whisper_base",
}


def names() -> list[str]:
    """Return the names of the zoo, sorted."""
    return sorted(_BUILDERS)


def paths() -> dict[str, str]:
    """Return the import path of every network's builder by name, `module:function`, as in a registry."""
    return {name: f"{__name__}.{builder}" for name, builder in _BUILDERS.items()}


def build(name: str, dims: Mapping[str, int] | None = None) -> Workload:
    """Return the workload of this name, at these sizes of its open dimensions.

    Raises:
        ArmillaryError: if the zoo has no such name (offers the nearest ones), or the network no such dimension.
    """
    if name not in _BUILDERS:
        raise ArmillaryError(f"unknown workload {name!r}; {nearest(name)}")
    given, there = dict(dims or {}), dimensions(name)
    if unknown := sorted(set(given) - set(there)):
        if not there:
            raise ArmillaryError(f"workload {name!r} has no open dimension, got {given}")
        raise ArmillaryError(f"workload {name!r} has no open dimension {unknown[0]!r}; open are {sorted(there)}")
    if bad := [key for key, size in given.items() if size < (0 if key == "past" else 1)]:
        raise ArmillaryError(f"dimension {bad[0]}={given[bad[0]]} of {name!r} is not allowed; it must be positive")
    workload = _builder(name)(**given)
    assert isinstance(workload, Workload)
    return workload


def dimensions(name: str) -> dict[str, int]:
    """Return the open dimensions of a network with the sizes that they have unless others are given."""
    return {key: parameter.default for key, parameter in signature(_builder(name)).parameters.items()}


def _builder(name: str) -> Callable[..., Workload]:
    module, builder = paths()[name].split(":")
    found: Callable[..., Workload] = getattr(import_module(module), builder)
    return found


def nearest(name: str) -> str:
    """Return what to say to somebody who asked for an unknown name."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), names(), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(names())}"
