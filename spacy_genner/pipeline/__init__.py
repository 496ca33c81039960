"""The spaCy pipeline component."""
