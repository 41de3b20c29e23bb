"""Armillary architects deep-learning accelerators from data and prior knowledge."""

__version__ = "0.1.0"
