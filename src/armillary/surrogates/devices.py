"""Where networks train and predict."""

from __future__ import annotations

import torch

from armillary.types import ArmillaryError


def device_of(name: str) -> torch.device:
    """Return a device by torch's name for it.

    Raises:
        ArmillaryError: if it is neither a CPU nor a GPU, or this machine has none.
    """
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise ArmillaryError(f"device {name!r} is not allowed; choose cpu, or cuda for a GPU")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ArmillaryError(
            f"device {name!r}: this PyTorch ({torch.__version__}) sees no GPU; "
            "install a driver and PyTorch's build for CUDA, or choose cpu"
        )
    return torch.device(name)
