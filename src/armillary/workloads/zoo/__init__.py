"""The networks of the papers, shape by shape and without weights."""

from __future__ import annotations

import difflib
from importlib import import_module

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload

_BUILDERS = {
    "bert": "sequences:bert",
    "m4_like": "detectors:m4_like",
    "m5_like": "detectors:m5_like",
    "m6_like": "detectors:m6_like",
    "mnasnet": "classifiers:mnasnet",
    "mobilenet_edgetpu": "classifiers:mobilenet_edgetpu",
    "mobilenet_v2": "classifiers:mobilenet_v2",
    "mobilenet_v3_large": "classifiers:mobilenet_v3_large",
    "resnet18": "classifiers:resnet18",
    "resnet50": "classifiers:resnet50",
    "retinanet": "detectors:retinanet",
    "t_rnn_dec": "sequences:t_rnn_dec",
    "t_rnn_enc": "sequences:t_rnn_enc",
    "transformer": "sequences:transformer",
    "unet": "segmentation:unet",
    "vgg16": "classifiers:vgg16",
}


def names() -> list[str]:
    """Return the names of the zoo, sorted."""
    return sorted(_BUILDERS)


def paths() -> dict[str, str]:
    """Return the import path of every network's builder by name, `module:function`, as in a registry."""
    return {name: f"{__name__}.{builder}" for name, builder in _BUILDERS.items()}


def build(name: str) -> Workload:
    """Return the workload of this name.

    Raises:
        ArmillaryError: if the zoo has no such name; offers the nearest ones.
    """
    if name not in _BUILDERS:
        raise ArmillaryError(f"unknown workload {name!r}; {nearest(name)}")
    module, builder = paths()[name].split(":")
    workload = getattr(import_module(module), builder)()
    assert isinstance(workload, Workload)
    return workload


def nearest(name: str) -> str:
    """Return what to say to somebody who asked for an unknown name."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), names(), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(names())}"
