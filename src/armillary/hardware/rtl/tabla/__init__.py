"""The platform `tabla`: sources, generator, compiler, and what its numbers are, bit for bit."""
