"""Shipped contracts that every member of a kind must pass, ours and those of other packages."""
