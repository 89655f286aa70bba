"""What several test modules share: exact and tiny models, requests, clocks, servers, pairs of answers."""
