"""A ring of processing stations, for Armillary."""
