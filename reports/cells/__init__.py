"""Rows of results by task and cell: every table of a report counts on them."""
