"""The answer in words: who wins on which task and by how much, what a step costs, and what the numbers do not say."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from l2obench.reports.formats import number, one_line, readable
from l2obench.reports.numbers import tables
from l2obench.reports.numbers.counting import fact

HEADLINE = ["task", "optimizer", "baseline", "ratio", "low", "high", "seeds", "update_time", "verdict"]
LOSSES = ["task", "optimizer", "track", "seeds", "failures", "mean_final_loss", "low", "high"]


@dataclass(frozen=True)
class Answer:
    """One comparison: `verdict` is `better`, `worse` or `unclear`, `ratio` the number as text."""

    verdict: str
    ratio: str
    sentence: str


def answers(headline: pd.DataFrame) -> list[Answer]:
    """A sentence for every row of the headline table."""
    return [_answer(row) for row in _records(headline)]


def leaders(final_losses: pd.DataFrame) -> list[str]:
    """Where no learned optimizer ran: the best optimizer of every task."""
    keys = [name for name in ("run", "task") if name in final_losses]
    return [
        f"{row['optimizer']} ({row['track']}) has the lowest mean final loss on {row['task']}{_run(row)}: "
        f"{number(row['mean_final_loss'])} ({_interval(row)}, {row['seeds']} seeds)."
        for row in _records(final_losses.drop_duplicates(keys))
    ]


def costs(headline: pd.DataFrame, step_seconds: pd.DataFrame) -> list[str]:
    """What an update and a whole step of each learned optimizer cost, in Adam's or else in the baseline's."""
    keys = [name for name in ("run", "task", "optimizer") if name in headline]
    compared = headline.drop_duplicates(keys).merge(step_seconds, on=keys, how="left")
    return [_cost(row) for row in _records(compared)]


def clocks(headline: pd.DataFrame, time_to_target: pd.DataFrame) -> list[str]:
    """Steps and seconds of each learned optimizer to the task's target, beside the best baseline's."""
    return [_clock(row) for row in _records(_beside_baseline(headline, time_to_target, ["steps", "seconds"]))]


def held_out(headline: pd.DataFrame, final_losses: pd.DataFrame) -> list[str]:
    """Held-out loss and accuracy of each learned optimizer, beside the best baseline's: a training loss is not all."""
    compared = _beside_baseline(headline, final_losses, ["heldout_loss", "heldout_accuracy"])
    return [_held_out(row) for row in _records(compared[compared["heldout_loss"].notna()])]


def caveats(tuning: pd.DataFrame) -> list[str]:
    """What a reader must know before quoting a number, from the tuning table."""
    found = ["Seconds are this machine's, for one replica alone; another machine or a larger model has other ratios."]
    if not tuning.empty:
        passes = tuning["passes"]
        span = f"{passes.min():,}" if passes.min() == passes.max() else f"{passes.min():,} to {passes.max():,}"
        found.append(
            f"Tuning one baseline's learning rate took {span} forward and backward passes a task, on seeds of its own; "
            "no curve includes them."
        )
    found += [
        "What it cost to meta-train a learned optimizer is in none of these losses, curves or seconds.",
        "The best baseline was picked on the evaluation seeds themselves, which favours the baseline.",
        "Each interval holds at 95 % by itself; the p-values are corrected for the number of comparisons (Holm).",
        "A seed that failed counts as an infinite loss in every mean, ratio and time.",
    ]
    if tuning["at_edge"].any():
        found.append("A tuned learning rate lies at the edge of its grid: a better one may lie beyond. See Tuning.")
    return found


def busy(manifests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning for every run whose clocks were taken while other work had the processors."""
    found = []
    for label, manifest in manifests.items():
        for start in manifest.get("starts") or [manifest]:
            environment = start.get("environment") or {}
            load, processors = fact(environment, "load"), fact(environment, "processors")
            if load >= processors:
                where = f"{label}: the" if len(manifests) > 1 else "The"
                found.append(
                    f"{where} machine was busy: {_short(load)} processes for {processors:.0f} processors. Seconds, and "
                    "ratios of seconds, are not to be quoted."
                )
                break
    return [one_line(sentence) for sentence in found]


def headline_text(cells: pd.DataFrame) -> str:
    """The headline as plain text for a terminal; final losses where there is no learned optimizer to compare."""
    table, columns = tables.headline(cells).rename(columns={"update_time_ratio": "update_time"}), HEADLINE
    title = (
        "learned over best tuned baseline: ratio of mean final losses (below 1 is better), and of the time of an update"
    )
    if table.empty:
        table, columns = tables.final_losses(cells), LOSSES
        title = "final losses (no learned optimizer ran)"
    grid = Table(title=title, title_justify="left", title_style="none", header_style="none", box=box.SIMPLE_HEAD)
    visible = readable(table[[*(["run"] if "run" in table else []), *columns]])
    for column in visible:
        grid.add_column(column.title, justify="right" if column.numeric else "left", no_wrap=True)
    for row in zip(*(column.cells for column in visible), strict=True):
        grid.add_row(*map(Text, row))
    # Wider than any table: what a line holds must not depend on the terminal, or a pipe would get it folded.
    console = Console(file=io.StringIO(), width=10_000, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def _answer(row: dict[str, Any]) -> Answer:
    verdict, _, failures = row["verdict"].partition("; ")
    name = one_line(row["optimizer"]) + (" (tuned)" if row["track"] == "tuned" else "")
    where = f"{row['task']}{_run(row)}"
    if verdict.startswith("not comparable"):
        return Answer("unclear", "—", f"{name} on {where}: {verdict}.")
    adjective = "best tuned baseline" if row["baseline_track"] == "tuned" else "best baseline, untuned"
    other = f"the {adjective} ({row['baseline']})"
    claim = {
        "better": f"{name} beats {other} on {where}",
        "worse": f"{name} loses to {other} on {where}",
    }.get(verdict, f"Between {name} and {other} there is no clear difference on {where}")
    numbers = f"final loss ratio {_short(row['ratio'])} ({_interval(row)}, {row['seeds']} seeds)"
    sentence = f"{claim}: {numbers}." + (f" {failures.capitalize()}." if failures else "")
    kind = verdict if verdict in ("better", "worse") else "unclear"
    return Answer(kind, _short(row["ratio"]), one_line(sentence))


def _cost(row: dict[str, Any]) -> str:
    where = f"{row['task']}{_run(row)}"
    for update, step, other in (
        (row["update_ratio_to_adam"], row["step_ratio_to_adam"], "an Adam update"),
        (row["update_time_ratio"], row["step_time_ratio"], f"an update of {row['baseline']}"),
    ):
        if pd.notna(update):
            return one_line(
                f"An update of {row['optimizer']} costs {_short(update)} times {other} on {where}, "
                f"a whole step (gradient and update) {_short(step)} times (measured serially on this machine)."
            )
    return one_line(f"An update of {row['optimizer']} on {where} was not timed.")


def _beside_baseline(headline: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The headline with `columns` of a table, those of the learned optimizer and, as `baseline_…`, the baseline's."""
    place = [name for name in ("run", "task") if name in headline]
    own = table[[*place, "optimizer", "track", *columns]]
    names = {"optimizer": "baseline", "track": "baseline_track", **{name: f"baseline_{name}" for name in columns}}
    texts = headline.astype({"baseline": object, "baseline_track": object})  # numbers, where all of them are missing
    beside = texts.merge(own, on=[*place, "optimizer", "track"])
    return beside.merge(own.rename(columns=names), on=[*place, "baseline", "baseline_track"])


def _clock(row: dict[str, Any]) -> str:
    name, baseline, where = row["optimizer"], row["baseline"], f"{row['task']}{_run(row)}"
    goal = f"the target of {where}"
    if math.isinf(row["steps"]):
        return one_line(f"{name} does not reach {goal} on half of the seeds.")
    if math.isinf(row["baseline_steps"]):
        return one_line(f"{name} reaches {goal} in {number(row['steps'])} steps, {baseline} not on half of the seeds.")
    sentence = f"{name} reaches {goal} in {number(row['steps'])} steps, {baseline} in {number(row['baseline_steps'])}"
    if pd.isna(row["seconds"]) or pd.isna(row["baseline_seconds"]):
        return one_line(f"{sentence}.")
    ratio = row["seconds"] / row["baseline_seconds"]
    pace = f"{_short(ratio)} times slower" if ratio > 1 else f"{_short(1 / ratio)} times faster"
    return one_line(f"{sentence}: by the clock it is {pace}.")


def _held_out(row: dict[str, Any]) -> str:
    ends = [
        f"{name} at loss {_short(row[f'{prefix}heldout_loss'])}"
        + ("" if pd.isna(accuracy := row[f"{prefix}heldout_accuracy"]) else f", accuracy {100 * accuracy:.1f} %")
        for name, prefix in ((row["optimizer"], ""), (row["baseline"], "baseline_"))
    ]
    return one_line(f"On held-out data of {row['task']}{_run(row)}: {ends[0]}; {ends[1]}.")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _short(value: float) -> str:
    return number(float(f"{value:.3g}"))


def _interval(row: dict[str, Any]) -> str:
    return f"95 % interval {_short(row['low'])}–{_short(row['high'])}"


def _run(row: dict[str, Any]) -> str:
    return f" in {row['run']}" if "run" in row else ""
