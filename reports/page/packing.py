"""What the page's script unpacks: JSON, deflated, and every table with the order of its cells."""

import base64
import json
import zlib
from typing import Any

import pandas as pd

from l2obench.reports import formats


def pack(value: Any) -> str:
    """Write a value as JSON, deflated, as base64: no sign of it can end an element of a page.

    Args:
        value: what JSON can hold.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode()


def table_view(table: pd.DataFrame, caption: str) -> dict[str, Any]:
    """Give a table as people read it, the rank of every cell in its column, and its CSV file.

    Args:
        table: of numbers and texts.
        caption: above it.
    """
    visible = table.drop(columns="learned", errors="ignore")
    columns = formats.readable(visible)
    learned = table["learned"].eq(True) if "learned" in table else [False] * len(table)
    return {
        "caption": caption,
        "columns": [{"title": column.title, "numeric": column.numeric, "name": column.name} for column in columns],
        "cells": [column.cells for column in columns],
        "ranks": [ranks(visible[column.name]) for column in columns],
        "learned": [int(flag) for flag in learned],
        "csv": formats.to_csv(table),
    }


def ranks(values: "pd.Series[Any]") -> list[int]:
    """Give the place of each cell if the column were sorted, equal cells alike, missing ones last.

    Args:
        values: of one column.
    """
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = values.map(lambda value: None if value is None or value != value else str(value).casefold())
        order = {text: place for place, text in enumerate(sorted(set(values.dropna())))}
        values = values.map(order)
    return [int(rank) for rank in values.astype("float64").rank(method="dense", na_option="bottom").tolist()]
