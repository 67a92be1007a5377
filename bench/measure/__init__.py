"""What a run measures besides losses: tuning, step times, operations, costs, pictures, updates."""
