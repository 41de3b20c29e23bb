"""The evaluators of the `vta` template: cycles by the schedule of its modules, and the hardware simulated."""
