"""Armillary inside other people's tools."""
