"""Decoding: the marked-up copy that a language model prefers, with probabilities."""
