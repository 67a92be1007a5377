"""The error of a training that asks for data which are kept for tests."""


class HeldOut(ValueError):
    """Something that is kept for tests was asked for in training."""

    exit_code = 2
