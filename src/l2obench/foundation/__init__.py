"""What every other room stands on: files read safely, and the types that all share. It imports nothing of ours."""
