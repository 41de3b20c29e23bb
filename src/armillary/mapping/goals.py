"""What a search of mappings minimises, and how. Loads no torch, so that help can list the names."""

from __future__ import annotations

from typing import Literal

Goal = Literal["edp", "delay", "energy"]
GOALS: tuple[Goal, ...] = ("edp", "delay", "energy")
Method = Literal["annealing", "genetic", "gradient", "random", "sobol", "exhaustive"]
METHODS: tuple[Method, ...] = ("annealing", "genetic", "gradient", "random", "sobol", "exhaustive")
