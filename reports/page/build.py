"""The report of one run or several: tables, one page that loads nothing, and figures on request."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from l2obench.reports import formats
from l2obench.reports.figures.canvas import FORMATS
from l2obench.reports.figures.drawing import write_figures
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
    """Held-out metrics of the learned optimizers against the best tuned baseline of each."""
    recipes: pd.DataFrame
    """Recipes of which several trainings ran, against the best tuned baseline."""
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

    publish(target, build)
    on_step(total, total, "")
    if formats_of_figures:
        _add_figures(sections, frames, analysis, target / "figures", formats_of_figures, processes, on_step)
    return Report(
        page=target / "index.html",
        tables=sorted((target / "tables").iterdir()),
        figures=sorted((target / "figures").iterdir()) if formats_of_figures else [],
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


def _add_figures(
    sections: Sequence[Section],
    frames: dict[str, pd.DataFrame],
    analysis: Analysis,
    folder: Path,
    wanted: Sequence[str],
    processes: int,
    on_step: OnStep,
) -> None:
    """Draw the figures of all sections, and put their folder beside the page once it is complete."""
    drawings = [drawing for section in sections for drawing in section.drawings(frames[section.name], analysis)]
    unfinished = folder.with_name(".figures.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        on_step(0, len(drawings), "figures")
        write_figures(drawings, unfinished, wanted, processes, lambda done: on_step(done, len(drawings), "figures"))
        unfinished.rename(folder)
    except OSError as error:
        raise ReportError(f"the figures cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
