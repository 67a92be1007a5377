"""What is asked of a task and of an optimizer, a check each."""
