"""How a solve is configured, and the files that hold it. May import methods and decoding."""
