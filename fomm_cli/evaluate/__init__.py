"""Measure weights: tasks, metrics, reports; `run.evaluate` is the one call."""
