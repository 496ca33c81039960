"""Share pipelines: model cards, Python packages and the Hugging Face hub."""
