"""The full-stack framework's tables and figures, and layouts that others made."""
