"""Starlight as the dissertation has it: a network learns the cost model, and a deep kernel takes its encoder over."""
