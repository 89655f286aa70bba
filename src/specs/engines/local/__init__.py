"""Models in this process: a tree of tokens over one KV cache, on any backend. No HTTP; methods stay unknown."""
