"""The RTL beside the cost model."""
