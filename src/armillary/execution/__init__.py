"""Execution: the only caller of evaluators, with limits, retries, failures as data, and results streamed to a log."""
