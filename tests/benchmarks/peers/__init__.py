"""Peers of the benchmarks: programs by other means that do the same work."""

import importlib.util


def installed(*modules: str) -> bool:
    """Whether all of these can be imported; peers in other libraries are the extra `peers`."""
    return all(importlib.util.find_spec(module) is not None for module in modules)
