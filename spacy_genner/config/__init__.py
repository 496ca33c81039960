"""Settings, checked when they are made. The bottom layer: no spaCy, no torch."""
