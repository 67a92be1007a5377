"""What the sentences of all sections share: how they write a number, an interval and a place."""

import math
from typing import Any

import pandas as pd

from l2obench.reports.formats import format_number

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a table, each by column.

    Args:
        table: any table.
    """
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def name_place(row: dict[str, Any]) -> str:
    """Name the task of a row, and its run where there are several.

    Args:
        row: of a table with a column `task`.
    """
    return f"{row['task']} in {row['run']}" if "run" in row else str(row["task"])


def format_short(value: float) -> str:
    """Write a number with three significant digits.

    Args:
        value: any number.

    Example:
        >>> format_short(0.404812)
        '0.405'
    """
    return format_number(float(f"{value:.3g}"))


def format_interval(row: dict[str, Any]) -> str:
    """Write the interval of a row.

    Args:
        row: of a table with the columns `low` and `high`.
    """
    return f"95 % interval {format_short(row['low'])}–{format_short(row['high'])}"


def format_ratio(value: float) -> str:
    """Write a ratio with three significant digits, its sign, and large or small ones as powers of ten.

    Args:
        value: a ratio; infinite where only one side failed.

    Example:
        >>> format_ratio(0.404812), format_ratio(4360.4), format_ratio(10616368.4)
        ('0.405×', '4,360×', '1·10⁷×')
    """
    if math.isfinite(value) and value > 0 and not 1e-3 <= value < 1e6:
        exponent = math.floor(math.log10(float(f"{value:.1g}")))
        return f"{value / 10.0**exponent:.1g}·10{str(exponent).translate(SUPERSCRIPTS)}×"
    return f"{format_short(value)}×"
