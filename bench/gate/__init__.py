"""The regression gate: what of a run got worse than in another one, decided with a known rate of false alarms."""
