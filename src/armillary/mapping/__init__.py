"""Mappings: the spaces of them, and the searches."""
