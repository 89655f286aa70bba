"""Numbers in, numbers out: laws, scores, selection, counts, statistics. No I/O, no clock."""
