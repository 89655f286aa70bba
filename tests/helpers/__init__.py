"""Shared by several test modules: exact and tiny models, requests, clocks, servers, pairs of answers."""
