"""The headline as plain text for a terminal."""

import io

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from l2obench.reports.formats import readable
from l2obench.reports.numbers.analysis import Analysis

HEADLINE = ["task", "optimizer", "baseline", "verdict", "typical_ratio", "typical_low", "typical_high", "win_rate"]
HEADLINE += ["ratio", "low", "high", "seeds", "update_time_ratio", "best_of_class", "class_verdict", "class_ratio"]
HELDOUT = ["task", "optimizer", "metric", "baseline", "verdict", "measure", "typical", "typical_low", "typical_high"]
HELDOUT += ["win_rate", "mean", "baseline_mean", "seeds", "best_of_class", "class_verdict"]
RECIPES = ["task", "rule", "trainings", "baseline", "verdict", "typical_ratio", "typical_low", "typical_high"]
RECIPES += ["between_trainings", "lowest", "highest", "seeds", "best_of_class", "class_verdict", "class_ratio"]
MATCHES = ["optimizer", "baseline", "source", "tasks", "never", "trials", "passes", "seconds"]
LOSSES = ["task", "optimizer", "track", "seeds", "failures", "mean_final_loss", "low", "high"]


def headline_rows(analysis: Analysis) -> pd.DataFrame:
    """Give the rows of the headline; final losses where there is no learned optimizer to compare.

    Args:
        analysis: of the runs.
    """
    return analysis.final_losses if analysis.headline.empty else analysis.headline


def headline_text(analysis: Analysis) -> str:
    """Write the headline as a table of text, and tables of recipes, held-out metrics and trials where there are any.

    Where no learned optimizer ran, final losses stand in place of the headline.

    Args:
        analysis: of the runs.
    """
    if analysis.headline.empty:
        return _grid(headline_rows(analysis), LOSSES, "Final losses (no learned optimizer ran)")
    title = "Final loss, learned ÷ best baseline (lower is better)"
    text = _grid(analysis.headline, HEADLINE, title)
    parts = [text]
    if not analysis.recipe_verdicts.empty:
        title = "Final loss over trainings and seeds, recipe ÷ best tuned baseline"
        parts.append(_grid(analysis.recipe_verdicts, RECIPES, title))
    if not analysis.heldout.empty:
        parts.append(_grid(analysis.heldout, HELDOUT, "Held-out data, learned against the best tuned baseline"))
    if not analysis.matched_over_tasks.empty:
        title = "Trials until a baseline is at least as good as the untuned learned optimizer, medians of tasks"
        parts.append(_grid(analysis.matched_over_tasks, MATCHES, title))
    return "\n\n".join(parts)


def _grid(table: pd.DataFrame, columns: list[str], title: str) -> str:
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
