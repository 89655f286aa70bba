"""GGUF models of this process, by llama.cpp (extra `llama`); import `backend` for models, `gguf` for vocabularies."""
