"""The cost model for one mapping at a time, compiled."""
