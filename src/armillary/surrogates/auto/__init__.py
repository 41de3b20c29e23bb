"""The surrogate `auto`: members of several kinds, weighed by a validation that keeps the log's best designs out."""
