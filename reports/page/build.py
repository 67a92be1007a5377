"""The report of one run or several: tables, one page that loads nothing, and figures on request."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from l2obench.reports import formats
from l2obench.reports.figures.canvas import FORMATS
from l2obench.reports.figures.drawing import write_figures
from l2obench.reports.figures.kept import INDEX, Plan, carry_over, plan, write_index
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.answer import Answer
from l2obench.reports.page import latex
from l2obench.reports.page.charting import start_bundling
from l2obench.reports.page.publish import publish, require_replaceable
from l2obench.reports.page.render import render
from l2obench.reports.page.terminal import headline_rows, headline_text
from l2obench.reports.reading import ReportError, read_results
from l2obench.reports.sections.registry import load_sections
from l2obench.reports.sections.section import Section

UNFINISHED = ".figures.part"
"""The folder of figures until the last one is drawn."""
OnStep = Callable[[int, int, str], None]
"""Called with the number of steps done, their total, and what comes next."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    tables: list[Path]
    figures: list[Path]
    headline: str
    """The answer as plain text, for a terminal."""
    answers: list[Answer]
    """The same as numbers."""
    rows: pd.DataFrame
    """The headline table: every learned optimizer against the best baseline of each task."""
    heldout: pd.DataFrame
    """Held-out metrics of the learned optimizers against the best baseline of each."""
    recipes: pd.DataFrame
    """Recipes of which several trainings ran, against the best baseline."""
    budget: pd.DataFrame
    """What the best of k trials ends with."""
    trials_to_match: pd.DataFrame
    """Trials until a baseline is at least as good as a learned optimizer, task by task."""


def write_report(
    run_folders: Sequence[str | Path],
    target: str | Path,
    figures: Sequence[str] = (),
    processes: int = 1,
    on_step: OnStep = lambda done, total, what: None,
) -> Report:
    """Write `target`/index.html with its tables (.md, .csv, .tex) and, where they are asked for, figures.

    An earlier report there is replaced once the new one is complete. Figures come after the page, which needs none.
    Those of the earlier report that would be drawn from the same values by the same code are kept.

    Args:
        run_folders: the runs; of several, rows are shown side by side and marked with their run.
        target: a folder that does not exist, is empty, or holds an earlier report.
        figures: formats of figures: `svg`, `pdf`, `png`. Without any, no figure is written.
        processes: how many draw figures side by side; more than one needs a main module that can be imported again.
        on_step: called before every step, and after every figure.

    Raises:
        ReportError: a run has no finished cells, a format is unknown, or `target` holds something else or cannot be
            written.
        StoreError: a folder is no run, or is damaged.
    """
    formats_of_figures, target = _checked(figures), Path(target)
    require_replaceable(target)  # here too: who gave a wrong folder need not wait for the numbers
    analysis, sections, library = Analysis(read_results(run_folders)), load_sections(), start_bundling()
    total = len(sections) + 1
    frames: dict[str, pd.DataFrame] = {}
    for done, section in enumerate(sections):
        on_step(done, total, section.title)
        frames[section.name] = section.numbers(analysis)

    def build(folder: Path) -> None:
        on_step(len(sections), total, "page")
        _write_tables(sections, frames, folder / "tables")
        page = render(analysis, sections, frames, library.result(), bool(formats_of_figures))
        (folder / "index.html").write_text(page, encoding="utf-8")
        if figures_of is not None:
            (folder / UNFINISHED).mkdir()
            carry_over(figures_of, target / "figures", folder / UNFINISHED, formats_of_figures)

    figures_of = _plan_figures(sections, frames, analysis, target / "figures", formats_of_figures)
    publish(target, build)
    on_step(total, total, "")
    if figures_of is not None:
        _add_figures(figures_of, target / "figures", formats_of_figures, processes, on_step)
    return Report(
        page=target / "index.html",
        tables=sorted((target / "tables").iterdir()),
        figures=sorted(path for path in (target / "figures").iterdir() if path.name != INDEX) if figures_of else [],
        headline=headline_text(analysis),
        answers=analysis.answers,
        rows=headline_rows(analysis),
        heldout=analysis.heldout,
        recipes=analysis.recipe_verdicts,
        budget=analysis.budget,
        trials_to_match=analysis.trials_to_match,
    )


def _checked(figures: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(figures))
    for name in wanted:
        if name not in FORMATS:
            raise ReportError(f"--figures must be of {', '.join(FORMATS)}, got {name!r}. Try: --figures pdf,png")
    return wanted


def _write_tables(sections: Sequence[Section], frames: dict[str, pd.DataFrame], folder: Path) -> None:
    folder.mkdir()
    for section in sections:
        if not section.caption:
            continue
        frame, path = frames[section.name], folder / section.name
        path.with_suffix(".md").write_text(formats.to_markdown(frame), encoding="utf-8")
        path.with_suffix(".csv").write_text(formats.to_csv(frame), encoding="utf-8")
        path.with_suffix(".tex").write_text(latex.to_latex(frame, section.caption), encoding="utf-8")


def _plan_figures(
    sections: Sequence[Section],
    frames: dict[str, pd.DataFrame],
    analysis: Analysis,
    folder: Path,
    wanted: Sequence[str],
) -> Plan | None:
    """Which figures are drawn, and which are there already; None where nobody asks for figures."""
    if not wanted:
        return None
    drawings = [drawing for section in sections for drawing in section.drawings(frames[section.name], analysis)]
    return plan(drawings, folder, wanted)


def _add_figures(
    found: Plan,
    folder: Path,
    wanted: Sequence[str],
    processes: int,
    on_step: OnStep,
) -> None:
    """Draw the figures that are not there yet, and put their folder beside the page once it is complete."""
    unfinished = folder.with_name(UNFINISHED)
    total = len(found.kept) + len(found.drawn)
    try:
        on_step(len(found.kept), total, "figures")
        count = partial(_count_figures, on_step, len(found.kept), total)
        write_figures(found.drawn, unfinished, wanted, processes, count)
        write_index(found, unfinished, wanted)
        unfinished.rename(folder)
    except OSError as error:
        raise ReportError(f"the figures cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _count_figures(on_step: OnStep, kept: int, total: int, done: int) -> None:
    on_step(kept + done, total, "figures")
