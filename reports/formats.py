"""Writes a table as Markdown or CSV. Names are data: whatever they hold, they stay text.

In Markdown ∞ stands for infinity and — for what is missing; CSV, which machines read, has `inf` and nothing.
"""

import csv
import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

PERCENTAGES = {"reached", "heldout_accuracy", "failure_rate", "probability", "never_matched", "solved", "win_rate"}
PERCENTAGES |= {"fails", "within_1", "within_5", "within_10", "within_20", "class_win_rate"}
INTERVALS = {"low": "high", "grad_microseconds_q25": "grad_microseconds_q75"}
INTERVALS["update_microseconds_q25"] = "update_microseconds_q75"
INTERVALS["speed_up_low"] = "speed_up_high"
INTERVALS["class_low"] = "class_high"
INTERVALS["heldout_low"] = "heldout_high"
INTERVALS |= {"typical_low": "typical_high", "difference_low": "difference_high", "means_low": "means_high"}
HEADINGS = {
    "low": "95 % interval",
    "lr": "learning rate",
    "families": "the task is",
    "axis": "differs in",
    "p_value": "p (Holm)",
    "typical": "typical value",
    "typical_low": "95 % interval of the typical value",
    "means": "of the means",
    "between_trainings": "spread of trainings, s.d. of the log ratio",
    "lowest": "lowest training",
    "highest": "highest training",
    "means_low": "95 % interval of the means",
    "difference_low": "95 % interval of the difference",
    "ratio": "ratio of means",
    "win_rate": "better on, share of seeds",
    "iqm_final_loss": "interquartile mean",
    "expected_best": "expected best",
    "uses": "looks at",
    "against_uses": "which looks at",
    "best_of_class": "best of its class",
    "class_verdict": "verdict in its class",
    "class_ratio": "typical ratio in its class",
    "class_typical": "typical value in its class",
    "class_low": "95 % interval in its class",
    "class_win_rate": "better than the best of its class on, share of seeds",
    "class_mean": "mean of the best of its class",
    "class_track": "track of the best of its class",
    "class_measure": "measure in its class",
    "never": "tasks that no trial matches",
    "matching": "trials that match",
    "best_mean": "lowest mean of a trial",
    "fails": "sets that choose a failing trial",
    "heldout_loss": "held-out loss",
    "heldout_ratio": "held-out loss ratio",
    "heldout_low": "95 % interval of the held-out ratio",
    "heldout_verdict": "held-out verdict",
    "target_time_ratio": "time to target ÷ baseline's",
    "heldout_accuracy": "held-out accuracy",
    "grad_microseconds": "gradient µs",
    "grad_microseconds_q25": "quartiles",
    "update_microseconds": "update µs",
    "update_microseconds_q25": "quartiles",
    "update_ratio_to_adam": "update ÷ Adam's",
    "step_ratio_to_adam": "step ÷ Adam's",
    "update_time_ratio": "update time ÷ baseline's",
    "step_time_ratio": "step time ÷ baseline's",
    "baseline_mean_final_loss": "baseline's mean final loss",
    "state_bytes": "state, bytes per replica",
    "probability": "seeds lower than Adam",
    "speed_up": "speed-up, steps of Adam ÷ own",
    "speed_up_low": "95 % interval of the speed-up",
    "never_matched": "seeds where Adam never gets as low",
    "target_from": "target from",
    "flops_per_coordinate": "FLOPs per parameter",
    "state_bytes_per_parameter": "state bytes per parameter",
    "record_passes": "recording passes per step",
    "bytes_per_coordinate": "bytes moved per parameter",
    "bytes_once_per_coordinate": "bytes per parameter, each once",
    "update_nanoseconds_per_coordinate": "update ns per parameter",
    "meta_training_seconds": "meta-training, seconds",
    "meta_training_cost": "meta-training",
    "tuning_cost": "tuning",
    "baseline_run_cost": "one run of the baseline",
    "learned_run_cost": "one run of the learned optimizer",
    "break_even": "break-even, uses",
    "meta_training_trajectories": "meta-training trajectories",
}
MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]|~$])")
# OWASP, *CSV injection*: a spreadsheet takes text that begins so for a formula; some do so with full-width signs too.
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class Column:
    """A column as a reader sees it, before any escaping; the two ends of an interval share one."""

    title: str
    numeric: bool
    cells: list[str]
    name: str


def format_number(value: float) -> str:
    """Write a number with four significant digits; ∞ and — where there is no number to write.

    Args:
        value: any number; NaN: there is none.

    Example:
        >>> format_number(0.123456), format_number(12345.0), format_number(float("inf"))
        ('0.1235', '12,345', '∞')
    """
    if math.isnan(value):
        return "—"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if (value.is_integer() and abs(value) < 1e6) or 1e3 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def readable(table: pd.DataFrame) -> list[Column]:
    """The columns of a table, its numbers written out.

    Args:
        table: its column names decide about percentages, intervals and headings.

    Returns:
        One for each column, except that the two ends of an interval share one.
    """
    kinds = pd.api.types
    columns = []
    for name, values in table.items():
        cells = [_shown(str(name), value) for value in values]
        if upper := INTERVALS.get(str(name)):
            ends = zip(cells, (_shown(upper, value) for value in table[upper]), strict=True)
            cells = ["—" if pair == ("—", "—") else " – ".join(pair) for pair in ends]
        if name not in INTERVALS.values():
            numeric = kinds.is_numeric_dtype(values.dtype) and not kinds.is_bool_dtype(values.dtype)
            columns.append(Column(HEADINGS.get(str(name), str(name).replace("_", " ")), numeric, cells, str(name)))
    return columns


def join_lines(text: str) -> str:
    """Replace line breaks and control characters, which no table, figure or terminal can take, by spaces.

    Args:
        text: any text.
    """
    # Nearly every text of a table is one line: asking it sign by sign took a tenth of the time of a large report.
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def to_markdown(table: pd.DataFrame) -> str:
    """Write a GitHub-flavoured Markdown table; numbers to the right.

    Args:
        table: of numbers and texts.
    """
    columns = readable(table)
    lines = [
        [_markdown(column.title) for column in columns],
        ["---:" if column.numeric else "---" for column in columns],
        *([_markdown(cell) for cell in row] for row in zip(*(column.cells for column in columns), strict=True)),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_csv(table: pd.DataFrame) -> str:
    """Write CSV, numbers in full. Text that a spreadsheet would take for a formula gets an apostrophe before it.

    Control characters become spaces: a terminal would obey some, and readers end a row at a carriage return.

    Args:
        table: of numbers and texts.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.itertuples(index=False, name=None):
        writer.writerow([_csv(value) for value in row])
    return stream.getvalue()


def _shown(column: str, value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "—"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.1%}" if column in PERCENTAGES else format_number(float(value))
    return join_lines(str(value))


def _markdown(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKDOWN_SIGNS.sub(r"\\\1", text)


def _csv(value: Any) -> Any:
    if isinstance(value, str):
        text = join_lines(value)
        return ("'" if text.lstrip().startswith(FORMULA_STARTS) else "") + text  # some skip spaces before a formula
    return "" if value is None or value is pd.NA or value != value else value
