"""Articulated regions: a picture that moves in parts, each with its own place, axes and extent (arXiv 2104.11280)."""
