"""The only place where everything meets: one file per verb."""
