"""The platform of the `vta` template: hardware, commands, a compiler, and what a program computes."""
