"""Measurements of the bench itself, each a program: error rates of the gate, bias and variance, forecasts."""
