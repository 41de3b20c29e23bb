"""Shapes from shapes: one rule per operator, from what is known of its inputs to what is known of its outputs."""
