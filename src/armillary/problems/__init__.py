"""What is asked: objectives, bounds and laws over a space, and what an optimizer is told."""
