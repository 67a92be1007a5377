"""What the sentences of all sections share: how they write a number, an interval and a place."""

from typing import Any

import pandas as pd

from l2obench.reports.formats import format_number


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


def beside_baseline(headline: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The headline with `columns` of a table: those of the learned optimizer and, as `baseline_…`, the baseline's.

    Args:
        headline: as `l2obench.reports.numbers.headline.headline` gives it.
        table: with `task`, `optimizer` and `track`.
        columns: what to take from it.

    Returns:
        A row for each of the headline's whose own row and baseline's row the table has.
    """
    where = [name for name in ("run", "task") if name in headline]
    own = table[[*where, "optimizer", "track", *columns]]
    names = {"optimizer": "baseline", "track": "baseline_track", **{name: f"baseline_{name}" for name in columns}}
    texts = headline.astype({"baseline": object, "baseline_track": object})  # numbers, where all of them are missing
    beside = texts.merge(own, on=[*where, "optimizer", "track"])
    return beside.merge(own.rename(columns=names), on=[*where, "baseline", "baseline_track"])
