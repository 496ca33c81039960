"""Decoders: the marked copy that a language model prefers, and how sure it is."""
