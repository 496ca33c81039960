"""The study's questions: formats, memorisation and general abilities."""
