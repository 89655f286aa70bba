"""Measuring: data sets, grading, the benchmark and its report."""
