"""The sections of the report: one file each, its numbers, its figures and its words."""
