"""What every other room stands on: errors in one line, files read safely, shared types. It imports nothing of ours."""
