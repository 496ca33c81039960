"""Training: targets and batches, losses, schedules, and a loop that can be resumed."""
