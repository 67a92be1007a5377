"""What `l2obench` offers by name, as in `l2obench.run`: one file for each thing that a user can do."""
