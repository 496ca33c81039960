"""Exact span scores, nested and per label, intervals, curves, and the report."""
