"""Evaluates methods: data sets, grading, runs and reports; import from its modules (`runner`, `grading`, ...)."""
