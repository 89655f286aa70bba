"""What was found with `specs` and how: the study, theory, benchmarks, training, and their records. Not in the wheel."""
