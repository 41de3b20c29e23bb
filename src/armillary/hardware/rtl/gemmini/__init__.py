"""The cycle-accurate evaluator: a generator of real hardware, its command compiler, and its simulation."""
