"""Tables of a report, from the rows of a run."""
