"""What is registered of a surrogate: how it is made, and what it is able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from armillary.types import Surrogate


@dataclass(frozen=True)
class SurrogateKind:
    """A surrogate as it is registered.

    Attributes:
        make: the surrogate, of `space`, `seed`, `on_progress` and its own options.
        read: the fitted surrogate of a model file, of the path, `space` and `device`; None if it has no model file.
            The file's kind, see `model_file.save`, is the name under which `read` is registered.
        scheduled: whether its training takes a `schedule`, and a `device`, which may be a GPU.
        schedule: by which it trains where none is asked for; empty: by the default of whoever trains it.
        sourced: whether it learns from rows of other spaces beforehand, its option `sources`, without which it cannot.
        parted: whether its option `apart` names the parameters that tell architectures apart, which it then leaves out
            whole where it judges itself.
    """

    make: Callable[..., Surrogate]
    read: Callable[..., Any] | None = None
    scheduled: bool = False
    schedule: str = ""
    sourced: bool = False
    parted: bool = False
