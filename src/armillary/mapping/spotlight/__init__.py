"""The evaluator of the `spotlight` templates: mappings of a layer, searches for the best, the cost of a design."""
