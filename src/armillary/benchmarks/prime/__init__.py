"""PRIME's tables and figures."""
