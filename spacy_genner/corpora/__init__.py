"""Corpora: reading, writing, converting, and the readers that training uses."""
