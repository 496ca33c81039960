"""Exports of a tuned component for servers: vLLM and llama.cpp."""
