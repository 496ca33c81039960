"""One module a kind of system."""
