"""Tasks for the evaluation harness over local data."""
