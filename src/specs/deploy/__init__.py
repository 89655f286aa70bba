"""The three vLLM servers of a solve: what fits on which GPU, their commands, and running them."""
