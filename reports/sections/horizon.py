"""What a learned optimizer does beyond the number of steps that it was trained for."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.numbers.horizon import past_the_horizon
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import name_place, records


def sentences(table: pd.DataFrame) -> list[str]:
    """What the table says, one entry a row.

    Args:
        table: as `l2obench.reports.numbers.horizon.past_the_horizon` gives it.
    """
    return [_sentence(row) for row in records(table)]


def _sentence(row: dict[str, Any]) -> str:
    trained = f"{row['optimizer']} was trained for {row['trained_steps']:,} steps"
    start = f"{trained} and ran {row['steps']:,} on {name_place(row)}."
    if not row["seeds"]:
        return join_lines(f"{start} It shares no seed with {row['baseline']}.")
    lowest = (
        "Its mean loss is lowest at the end"
        if row["lowest_step"] == row["steps"]
        else f"Its mean loss is lowest at step {row['lowest_step']:,.0f} ({format_number(row['lowest_loss'])}) and "
        f"{format_number(row['final_loss'])} at the end"
    )
    baseline = f"{row['baseline']} ({format_number(row['baseline_final_loss'])} at the end)"
    if np.isnan(row["overtaken_step"]):
        return join_lines(f"{start} {lowest}, lower than that of {baseline}.")
    return join_lines(f"{start} {lowest}. From step {row['overtaken_step']:,.0f} on, {baseline} is lower.")


SECTION = Section(
    name="past_the_horizon",
    title="Beyond the training horizon",
    below=True,
    numbers=lambda analysis: past_the_horizon(analysis.table, analysis.manifests),
    caption="Learned optimizers on tasks with more steps than they were trained for",
    introduction="Losses are means over the seeds that both the learned optimizer and the best baseline ran.",
    sentences=lambda table, _: sentences(table),
)
