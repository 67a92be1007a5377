"""Ticks that say their unit: seconds as microseconds, milliseconds, seconds, minutes or hours."""

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
"""The seconds of each unit, the longest first."""


def format_seconds(seconds: float) -> str:
    """Write a time with the unit in which its number is 1 or more.

    Args:
        seconds: any number of them.

    Example:
        >>> format_seconds(0.002), format_seconds(90.0), format_seconds(0.0)
        ('2 ms', '1.5 min', '0 s')
    """
    if seconds == 0:
        return "0 s"
    # A tick at 1 ms may be 0.0009999999 s.
    size, unit = next(((size, unit) for size, unit in UNITS if abs(seconds) >= size * (1 - 1e-9)), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def time_ticks(axis: Axis) -> None:
    """Give an axis of seconds ticks with units; a logarithmic one also has ticks at 3 of every decade.

    Args:
        axis: with its scale.
    """
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.set_major_formatter(FuncFormatter(lambda seconds, _: format_seconds(seconds)))
    axis.set_minor_formatter(NullFormatter())
