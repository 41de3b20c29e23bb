"""Which choices exist: parameters, spaces, samplers."""
