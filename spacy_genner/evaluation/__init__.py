"""Exact span scores with their intervals, breakdowns, kinds of error and calibration;
two systems compared; and the report."""
