"""The loop, and what it moves: state, optimizers, schedules, losses, meters."""
