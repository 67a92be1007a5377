"""Held-out metrics of the learned optimizers against the best tuned baseline of each metric."""

from typing import Any

import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.figures.curves import line_styles
from l2obench.reports.figures.heldout import heldout_drawings
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.heldout import NO_DIRECTION
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import format_short, name_place, records

# An accuracy is a share; differences of shares are read in hundredths.
POINTS = 100


def sentences(table: pd.DataFrame) -> list[str]:
    """What the table says, a sentence for each row.

    Args:
        table: as `l2obench.reports.numbers.heldout.heldout` gives it.
    """
    return [join_lines(_sentence(row)) for row in records(table)]


def _sentence(row: dict[str, Any]) -> str:
    name = row["optimizer"] + (f" ({row['track']})" if is_tuned(row["track"]) else "")
    where = f"On held-out data of {name_place(row)}"
    if row["verdict"].startswith("not comparable"):
        return f"{where}, the {row['metric']} of {name} is {row['verdict']}."
    tuned = "tuned" if is_tuned(row["baseline_track"]) else "untuned"
    other = f"the best {tuned} baseline of this metric ({row['baseline']})"
    numbers = _numbers(row)
    if row["verdict"] == NO_DIRECTION:
        other = f"the best {tuned} baseline ({row['baseline']})"
        return f"{where}, {row['metric']} of {name} and {other}: {numbers}. The task does not say which is better."
    good, bad = ("higher", "lower") if row["better"] == "higher" else ("lower", "higher")
    claim = {
        "better": f"{name} has a {good} {row['metric']} than {other}",
        "worse": f"{name} has a {bad} {row['metric']} than {other}",
        "mixed": f"{row['metric']} of {name} and {other} are mixed: the typical function and the mean point apart",
        "too few seeds": f"{row['metric']} of {name} and {other} have too few seeds for a verdict",
    }.get(row["verdict"], f"{row['metric']} of {name} and {other} do not differ clearly")
    return f"{where}, {claim}: {numbers}, {good} on {row['win_rate']:.0%} of {row['seeds']} seeds."


def _numbers(row: dict[str, Any]) -> str:
    """The typical contrast with its interval, and that of the means."""
    points = row["metric"] == "accuracy"
    factor, unit = (POINTS, " percentage points") if points else (1, "×" if row["measure"] == "ratio" else "")
    means = "ratio of means" if row["measure"] == "ratio" else "mean difference"
    found = []
    for what, names in (
        (f"typical {row['measure']}", ("typical", "typical_low", "typical_high")),
        (means, ("means", "means_low", "means_high")),
    ):
        estimate, low, high = (format_short(factor * row[name]) for name in names)
        if pd.notna(row[names[0]]):
            found.append(f"{what} {estimate}{unit} (95 % interval {low} to {high})")
    return ", ".join(found) or f"{format_short(row['mean'])} and {format_short(row['baseline_mean'])}"


SECTION = Section(
    name="heldout",
    title="Held-out data",
    numbers=lambda analysis: analysis.heldout,
    caption="Held-out metrics at the last step, learned against the best tuned baseline of each metric",
    introduction=(
        "Held-out metrics are on data that no optimizer trains on. Baselines are tuned for their training loss. Of the "
        "tuned baselines, the one with the best mean of the metric is taken. A loss is compared by its typical ratio, "
        "learned ÷ baseline. An accuracy is compared by its typical difference, learned − baseline."
    ),
    sentences=lambda table, _: sentences(table),
    drawings=lambda _, analysis: heldout_drawings(analysis.heldout_plots, line_styles(analysis.plots)),
)
