"""Proposing from logs of other people: tables of which every design's outcome is known."""
