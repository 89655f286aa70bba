"""GGUF models in process, by llama.cpp (extra `llama`)."""
