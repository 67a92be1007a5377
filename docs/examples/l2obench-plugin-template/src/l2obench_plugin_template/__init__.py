"""A task and an optimizer for l2obench."""
