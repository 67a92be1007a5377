"""The steps of rules of perceptrons and of LSTMs as programs that numba compiles: nothing goes by way of memory."""
