"""The evaluators of the `tabla` template: cycles by the schedule, and the hardware simulated."""
