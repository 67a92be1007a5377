"""The rows that numbers in prose stand for: small tables of the reference runs, by the names in docs/numbers.toml."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.numbers.amortization import amortization
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.answer import answer_frame
from l2obench.reports.numbers.comparison import compare
from l2obench.reports.numbers.counting import best_baseline, counted_heldout, counted_losses, groups
from l2obench.reports.numbers.wins import wins
from l2obench.reports.reading import ReportData, read_results

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
KEYS = ("task", "optimizer", "track", "baseline", "against", "families", "unit", "tuned", "source")
"""Columns that name a row; all others are numbers."""


@cache
def read(run: str) -> ReportData:
    """The rows of a reference run, or of several of one suite as if they were one.

    Args:
        run: the name of its folder; several are joined by a plus sign, the last one with the learned optimizers.
    """
    data = read_results([REFERENCE / name for name in run.split("+")])
    if "+" not in run:
        return data
    joined = {name: getattr(data, name).assign(run=run) for name in ("cells", "tuning", "trials")}
    return replace(data, **joined, manifests={run: list(data.manifests.values())[-1]})


@cache
def analyse(run: str) -> Analysis:
    """Give the numbers of a run, each computed once.

    Args:
        run: as `read` takes it.
    """
    return Analysis(read(run))


def _headline(run: Analysis) -> pd.DataFrame:
    table = run.headline.drop(columns=["baseline"])
    return table.assign(
        wins=(table["win_rate"] * table["seeds"]).round(), percent=100 * table["win_rate"], pairs=table["seeds"]
    )


def _in_class(run: Analysis) -> pd.DataFrame:
    """Every learned optimizer against the best tuned baseline of its class, as the headline has it against the best."""
    rows = []
    for _, task in groups(run.cells, "task"):
        tuned = task[task["learned"].eq(True) | task["track"].map(is_tuned).astype(bool)]
        for key, own in groups(task[task["learned"].eq(True)], "task", "optimizer", "track"):
            baseline = best_baseline(tuned, of_class=own)
            if baseline is None or not (found := compare(own, baseline)).seeds:
                continue
            typical, share = found.found.typical, found.found.win_rate.estimate
            rows.append(
                key
                | {"ratio": found.ratio.estimate, "low": found.ratio.low, "high": found.ratio.high}
                | {"typical_ratio": typical.estimate, "typical_low": typical.low, "typical_high": typical.high}
                | {"percent": 100 * share, "wins": round(share * found.seeds), "pairs": found.seeds}
                | {"mean_final_loss": np.mean(counted_losses(own))}
                | {"baseline_mean_final_loss": np.mean(counted_losses(baseline))}
            )
    return pd.DataFrame(rows)


def _losses(run: Analysis) -> pd.DataFrame:
    """Mean, median and failures of every cell, with its held-out metrics."""
    rows = [
        key
        | {"mean": np.mean(counted_losses(own)), "median": np.median(counted_losses(own)), "seeds": len(own)}
        | {"failures": int(own["status"].ne("ok").sum()), "tuning_passes": own["tuning_passes"].max()}
        | {"heldout_loss": counted_heldout(own, "heldout_loss", np.inf)}
        | {"heldout_accuracy": counted_heldout(own, "heldout_accuracy", 0.0)}
        for key, own in groups(run.cells, "task", "optimizer", "track")
    ]
    return pd.DataFrame(rows)


def _verdicts(run: Analysis) -> pd.DataFrame:
    """On how many tasks each learned optimizer has each verdict of the headline."""
    rows = [
        key
        | {"tasks": own["task"].nunique()}
        | {name: int(own["verdict"].eq(word).sum()) for name, word in (("better", "better"), ("worse", "worse"))}
        for key, own in groups(run.headline, "optimizer")
    ]
    return pd.DataFrame(rows)


TABLES: Mapping[str, Callable[[Analysis], pd.DataFrame]] = {
    "headline": _headline,
    "in_class": _in_class,
    "losses": _losses,
    "verdicts": _verdicts,
    "wins": lambda run: wins(run.cells, run.manifests).drop(columns=["against_uses"]),
    "amortization": lambda run: amortization(run.cells, run.results.tuning, run.results.trials, run.manifests).drop(
        columns=["baseline"]
    ),
    "trials_to_match": lambda run: run.trials_to_match,
    "matched_over_tasks": lambda run: run.matched_over_tasks,
    "answers": lambda run: answer_frame(run.answers),
}
"""Tables by the names that docs/numbers.toml uses."""


@cache
def table(run: str, name: str) -> pd.DataFrame:
    """A table of a reference run.

    Args:
        run: the name of its suite.
        name: one of `TABLES`.

    Raises:
        KeyError: there is no such table.
    """
    return TABLES[name](analyse(run))


def number(run: str, name: str, where: Mapping[str, Any], column: str) -> float:
    """The number of one row.

    Args:
        run: the name of the suite.
        name: of the table.
        where: values of the row's keys.
        column: of the number.

    Raises:
        ValueError: no row, or several, are of that key, or there is no such column.
    """
    rows = table(run, name)
    for key, value in where.items():
        if key not in rows:
            raise ValueError(f"{run}/{name} must have a column {key!r}")
        rows = rows[rows[key].eq(value)]
    if len(rows) != 1 or column not in rows:
        raise ValueError(f"{run}/{name} must have one row of {dict(where)} with {column!r}, has {len(rows)}")
    return float(rows[column].iloc[0])
