"""Base models, adapters and the thinc model around them.

The modules that need torch, transformers or peft are imported by those who use
them: this package itself, `architecture` and `shim` stay light to import.
"""
