"""Measure this machine: animation, data, training; agree first, take turns, report the median and the tail."""
