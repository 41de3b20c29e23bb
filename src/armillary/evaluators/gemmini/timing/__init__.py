"""How long the hardware of the `gemmini` template takes, without simulating it."""
