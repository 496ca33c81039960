"""Base models and adapters, and the forward pass with its caches and heads.

This package itself imports nothing. Most of its modules import torch, transformers or
peft; `language_model` imports them at first use, so that it is light to import.
"""
