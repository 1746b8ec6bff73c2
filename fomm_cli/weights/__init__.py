"""Weights: one self-sufficient file, names that resolve to it, and the way in for published checkpoints."""
