"""`l2obench.report`: one page from one run, or from several side by side."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path

from l2obench.api.locating import find_results
from l2obench.api.naming import BadArgument
from l2obench.api.progress import ProgressDisplay
from l2obench.api.results import Results
from l2obench.reports.page.build import Report, write_report


def report(
    runs: "str | Path | Results | Sequence[str | Path | Results]",
    out: str | Path | None = None,
    figures: str | Sequence[str] = (),
    open: bool = False,
) -> Path:
    """Write a report.

    Args:
        runs: results folders or `Results`, one or several; several are shown side by side.
        out: the folder of the report; None: `report` in the folder of the first run.
        figures: formats of figures that are also written as files: `["pdf", "svg"]`, or `"pdf,svg"` as on the command
            line; `"png"` is the third.
        open: show the page in a browser.

    Returns:
        The page, `index.html`.

    Raises:
        BadArgument: no run was given.
        ReportError: a run has no finished cells, or `out` holds something that is no report.
        StoreError: a folder is no run, or is damaged.
    """
    written = make_report(to_folders(runs), out, read_formats(figures))
    if open:
        open_page(written)
    return written.page


def make_report(
    folders: Sequence[Path],
    out: str | Path | None,
    figures: Sequence[str],
    processes: int = 1,
    progress: bool = False,
) -> Report:
    """Write a report of results folders; the command line's part of `report` too.

    Args:
        folders: of the runs.
        out: the folder of the report; None: `report` in the first of them.
        figures: formats of figures that are also written as files.
        processes: how many draw figures side by side.
        progress: show what is done.

    Raises:
        ReportError, StoreError: as `write_report` says.
    """
    target = folders[0] / "report" if out is None else out
    if not progress:
        return write_report(folders, target, figures, processes)
    with ProgressDisplay("report") as display:
        return write_report(folders, target, figures, processes, on_step=display.count)


def read_formats(figures: str | Sequence[str]) -> list[str]:
    """Give the formats of figures, from a list or from a text with commas.

    Args:
        figures: names of formats.

    Example:
        >>> read_formats("pdf, svg"), read_formats(["png"])
        (['pdf', 'svg'], ['png'])
    """
    return [name.strip() for name in figures.split(",") if name.strip()] if isinstance(figures, str) else list(figures)


def open_page(written: Report) -> None:
    """Show a report in the web browser.

    Args:
        written: the report.
    """
    webbrowser.open(written.page.resolve().as_uri())


def to_folders(runs: "str | Path | Results | Sequence[str | Path | Results]") -> list[Path]:
    """Give the folders of runs that were given by their paths or as `Results`.

    Args:
        runs: a path, the name of a suite or `Results`, or several of them.

    Raises:
        BadArgument: there is none, or something else was given.
    """
    several = [runs] if isinstance(runs, str | Path | Results) else list(runs)
    if not several:
        raise BadArgument("runs must name one results folder at least, got an empty list. Try: report('results/quick')")
    return [to_folder("runs", item) for item in several]


def to_folder(argument: str, run: object) -> Path:
    """Give the folder of one run, which is also found by the name of its suite.

    Args:
        argument: name of the argument that gave the run, for the error.
        run: a path, the name of a suite or `Results`.

    Raises:
        StoreError: there is no such folder.
        BadArgument: it is neither a path nor `Results`.
    """
    if isinstance(run, Results):
        return run.folder
    if isinstance(run, str | Path):
        return find_results(run)
    raise BadArgument(
        f"{argument} must be a results folder or Results, got an object of {type(run).__module__}."
        f"{type(run).__qualname__}. Try: 'results/quick'"
    )
