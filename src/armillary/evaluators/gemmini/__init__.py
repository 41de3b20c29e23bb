"""The evaluators of the template `gemmini`: analytical and RTL."""
