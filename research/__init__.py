"""Research with `specs`: the study, theory, benchmarks, training, and their records. Not in the wheel."""
