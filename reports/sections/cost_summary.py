"""What a learned optimizer costs, in words: the time of its step, and its time to the target loss."""

import math
from typing import Any

import pandas as pd

from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import beside_baseline, format_short, name_place, records


def step_time_sentences(headline: pd.DataFrame, step_times: pd.DataFrame) -> list[str]:
    """What an update and a whole step of each learned optimizer cost, in Adam's or else in the baseline's.

    Args:
        headline: as `l2obench.reports.numbers.headline.headline` gives it.
        step_times: as `l2obench.reports.numbers.step_times.step_times` gives it.
    """
    keys = [name for name in ("run", "task", "optimizer") if name in headline]
    compared = headline.drop_duplicates(keys).merge(step_times, on=keys, how="left")
    return [_step_time(row) for row in records(compared)]


def target_sentences(headline: pd.DataFrame, time_to_target: pd.DataFrame) -> list[str]:
    """Steps and seconds of each learned optimizer to the task's target loss, beside the best baseline's.

    Args:
        headline: as `l2obench.reports.numbers.headline.headline` gives it.
        time_to_target: as `l2obench.reports.numbers.time_to_target.time_to_target` gives it.
    """
    return [_target(row) for row in records(beside_baseline(headline, time_to_target, ["steps", "seconds"]))]


def _sentences(_: pd.DataFrame, analysis: Analysis) -> list[str]:
    return [
        *step_time_sentences(analysis.headline, analysis.step_times),
        *target_sentences(analysis.headline, analysis.time_to_target),
    ]


def _step_time(row: dict[str, Any]) -> str:
    for update, step, other in (
        (row["update_ratio_to_adam"], row["step_ratio_to_adam"], "Adam"),
        (row["update_time_ratio"], row["step_time_ratio"], row["baseline"]),
    ):
        if pd.notna(update):
            return join_lines(
                f"On {name_place(row)}, an update of {row['optimizer']} takes {format_short(update)} times as long as "
                f"one of {other}. A whole step (gradient and update) takes {format_short(step)} times as long."
            )
    return join_lines(f"An update of {row['optimizer']} on {name_place(row)} was not timed.")


def _target(row: dict[str, Any]) -> str:
    name, baseline, target = row["optimizer"], row["baseline"], f"the target loss of {name_place(row)}"
    if math.isinf(row["steps"]):
        return join_lines(f"{name} does not reach {target} on half of the seeds.")
    steps = f"{name} reaches {target} in {format_number(row['steps'])} steps"
    if math.isinf(row["baseline_steps"]):
        return join_lines(f"{steps}; {baseline} does not reach it on half of the seeds.")
    sentence = f"{steps}, {baseline} in {format_number(row['baseline_steps'])}."
    if pd.isna(row["seconds"]) or pd.isna(row["baseline_seconds"]):
        return join_lines(sentence)
    ratio = row["seconds"] / row["baseline_seconds"]
    pace = f"{format_short(ratio)} times slower" if ratio > 1 else f"{format_short(1 / ratio)} times faster"
    return join_lines(f"{sentence} In wall-clock time {name} is {pace}.")


SECTION = Section(
    name="cost_summary",
    title="What it costs",
    below=True,
    half=True,
    sentences=_sentences,
)
