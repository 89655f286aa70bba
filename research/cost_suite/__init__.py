"""The benchmark suite: what steps cost at any size, without weights: `python -m research.benchmarks.quick --suite`."""
