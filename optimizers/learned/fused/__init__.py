"""The step of the rules of perceptrons as one program, compiled by numba, which needs no memory for the features."""
