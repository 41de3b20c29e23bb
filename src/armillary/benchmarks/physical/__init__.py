"""Layouts beside published ones, and how fast they are made."""
