"""The benchmark suite: times of steps at any model size, with random weights (`python -m research.cost_suite`)."""
