"""What a run takes down besides losses: tuning, clocks, operations, costs, pictures, updates."""
