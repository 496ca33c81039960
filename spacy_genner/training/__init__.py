"""Batches and losses, schedules, and a training loop that can be taken up again."""
