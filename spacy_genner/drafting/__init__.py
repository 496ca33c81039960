"""Guesses of how outputs go on. A wrong guess costs time, never the result."""
