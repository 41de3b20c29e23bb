"""The evaluators of the `genesys` template: a static schedule, and the hardware simulated."""
