"""What a search of mappings minimises, and how. Loads no torch, so that help can list the names."""

from __future__ import annotations

from typing import Literal

Goal = Literal["edp", "delay", "energy"]
GOALS: tuple[Goal, ...] = ("edp", "delay", "energy")
Method = Literal["annealing", "proven", "genetic", "gradient", "random", "sobol", "exhaustive"]
METHODS: tuple[Method, ...] = ("annealing", "proven", "genetic", "gradient", "random", "sobol", "exhaustive")


def value_of(goal: Goal, delay_cycles: float, energy_pj: float) -> float:
    """Return what a goal minimises: pJ*cycles, cycles or pJ."""
    return {"edp": delay_cycles * energy_pj, "delay": delay_cycles, "energy": energy_pj}[goal]
