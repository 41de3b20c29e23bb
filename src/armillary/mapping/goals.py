"""What a search of mappings minimises, and how. Loads no torch, so that help can list the names."""

from __future__ import annotations

from typing import Literal

Goal = Literal["edp", "delay", "energy"]
GOALS: tuple[Goal, ...] = ("edp", "delay", "energy")
Method = Literal["random", "sobol", "genetic", "gradient", "exhaustive"]
METHODS: tuple[Method, ...] = ("genetic", "gradient", "random", "sobol", "exhaustive")
