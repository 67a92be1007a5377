"""Figures of a report, from its tables."""
