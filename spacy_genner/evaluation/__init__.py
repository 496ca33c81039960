"""Evaluation: exact span scores, breakdowns, error kinds, calibration, significance."""
