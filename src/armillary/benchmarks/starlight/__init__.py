"""Starlight: predictions of the RTL, beside the dissertation's chapter 5."""
