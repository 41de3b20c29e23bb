"""The evaluators of the `axiline` template: cycles in closed form, and the hardware simulated."""
