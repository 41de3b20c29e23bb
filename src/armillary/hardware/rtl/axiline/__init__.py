"""The platform `axiline`: sources, generator, and what its numbers are, bit for bit."""
