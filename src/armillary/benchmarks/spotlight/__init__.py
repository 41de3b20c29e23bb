"""Spotlight's figures."""
