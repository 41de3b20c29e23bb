"""The analytical cost model: delay, energy, area and accesses of batches of mappings."""

from armillary.cost_model.cost import Costs, Summary, batch_costs, evaluate, summary

__all__ = ["Costs", "Summary", "batch_costs", "evaluate", "summary"]
