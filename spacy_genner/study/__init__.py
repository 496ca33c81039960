"""The questions of the study: formats, memorisation and general abilities."""
