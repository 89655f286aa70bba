"""The benchmark suite: what steps cost at any size, without weights: `specs bench --suite`."""
