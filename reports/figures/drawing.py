"""A figure of the report before it is made: its file name, its description, and the function that makes it."""

import io
import multiprocessing
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from l2obench.bench.store.results_file import cell_name
from l2obench.reports.figures.canvas import GRID, INK, QUIET, save, theme
from l2obench.reports.figures.styles import PALETTES, SURFACE
from l2obench.reports.formats import join_lines, to_csv

DARK = {INK: "#e6eaf0", QUIET: "#a0abba", GRID: "#323b48", SURFACE: "#1b212a"} | {
    light: dark
    for kind, colours in PALETTES["light"].items()
    for light, dark in zip(colours, PALETTES["dark"][kind], strict=True)
}
"""The colours of figures on a dark page, by those on a light one."""
ANY_COLOUR = re.compile("|".join(DARK), re.IGNORECASE)
OPENING = re.compile("<svg[^>]*>")
FEW = 12
"""Up to so many figures are made in this process: a new one first imports for a second."""


@dataclass(frozen=True)
class Drawing:
    """A figure that can be made, here or in another process. Whoever does not ask for it pays nothing."""

    name: str
    """Of its files, without a suffix."""
    description: str
    """What it shows, in words, for those who cannot see it."""
    make: Callable[[], Figure]
    """A function without arguments that pickles: a `functools.partial` of a function of a module."""
    numbers: Callable[[], pd.DataFrame]
    """Such a function too: the numbers that are drawn, for the CSV file beside the figure."""


def drawing(
    kind: str,
    key: Sequence[str],
    description: str,
    make: Callable[[], Figure],
    numbers: Callable[[], pd.DataFrame],
) -> Drawing:
    """A drawing named after its kind and what it is of.

    Args:
        kind: the first part of the file's name.
        key: run, task, or whatever tells figures of one kind apart.
        description: one sentence; characters that no line can hold are replaced.
        make: as in `Drawing`.
        numbers: as in `Drawing`.
    """
    return Drawing(cell_name(kind, *key), join_lines(description), make, numbers)


def svg(drawing: Drawing) -> bytes:
    """The figure as SVG, for a page: without a background, in colours that are others on a dark one.

    The same drawing gives the same bytes.

    Args:
        drawing: the figure; it is made here.
    """
    stream = io.BytesIO()
    with theme():
        figure = drawing.make()
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    return turn_in_the_dark(stream.getvalue().decode("utf-8")).encode()


def turn_in_the_dark(text: str) -> str:
    """Give a figure's own colours their counterparts where the reader prefers a dark page.

    Colours of a colour map stay as they are, and so does what is written on them.

    Args:
        text: an SVG file.
    """
    known = [light.lower() for light in DARK]
    rules = "".join(f"--c{place}:{dark};" for place, dark in enumerate(DARK.values()))
    text = ANY_COLOUR.sub(lambda found: f"var(--c{known.index(found[0].lower())},{found[0]})", text)
    style = f"<style>@media (prefers-color-scheme:dark){{:root{{{rules}}}}}</style>"
    return OPENING.sub(lambda found: found[0] + style, text, count=1)


def write_figures(
    drawings: Sequence[Drawing],
    folder: Path,
    formats: Sequence[str],
    processes: int = 1,
    on_figure: Callable[[int], None] = lambda _: None,
) -> list[Path]:
    """Make figures and write their files, and beside each the numbers that it draws, as CSV.

    Args:
        drawings: the figures; those of one name are one figure.
        folder: an existing folder.
        formats: `svg`, `pdf` or `png`, at least one.
        processes: how many work side by side. More than one needs a main module that can be imported again.
        on_figure: called with the number of figures that are done, after each.

    Returns:
        The files, in the order of the drawings.
    """
    wanted = list({item.name: item for item in drawings}.values())
    if processes > 1 and len(wanted) > FEW:
        # Spawned, not forked: Arrow's threads hold locks that a fork would copy.
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            jobs = [pool.submit(_write, item, folder, formats) for item in wanted]
            for done, _ in enumerate(as_completed(jobs), 1):
                on_figure(done)
            return [path for job in jobs for path in job.result()]
    written = []
    for done, item in enumerate(wanted, 1):
        written += _write(item, folder, formats)
        on_figure(done)
    return written


def files_of(item: Drawing, formats: Sequence[str]) -> list[str]:
    """Give the names of a figure's files: one for each format, and its numbers as CSV.

    Args:
        item: the figure.
        formats: `svg`, `pdf` or `png`.
    """
    return [f"{item.name}.{suffix}" for suffix in (*formats, "csv")]


def _write(item: Drawing, folder: Path, formats: Sequence[str]) -> list[Path]:
    with theme():
        written = save(item.make(), folder / item.name, formats)
    numbers = folder / f"{item.name}.csv"
    numbers.write_text(to_csv(item.numbers()), encoding="utf-8")
    return [*written, numbers]
