"""Rules designed by hand, in full."""
