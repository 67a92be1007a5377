"""Learned initialisations: the methods, and their training."""
