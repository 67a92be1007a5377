"""Weights that others have published, and how they become checkpoints of ours."""
