"""A figure of the report before it is made: its file name, its description, and the function that makes it."""

import io
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from l2obench.bench.store.results_file import cell_name
from l2obench.reports.figures.canvas import save, theme
from l2obench.reports.formats import join_lines

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


def drawing(kind: str, key: Sequence[str], description: str, make: Callable[[], Figure]) -> Drawing:
    """A drawing named after its kind and what it is of.

    Args:
        kind: the first part of the file's name.
        key: run, task, or whatever tells figures of one kind apart.
        description: one sentence; characters that no line can hold are replaced.
        make: as in `Drawing`.
    """
    return Drawing(cell_name(kind, *key), join_lines(description), make)


def svg(drawing: Drawing) -> bytes:
    """The figure as SVG, for a page. The same drawing gives the same bytes.

    Args:
        drawing: the figure; it is made here.
    """
    stream = io.BytesIO()
    with theme():
        figure = drawing.make()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def write_figures(
    drawings: Sequence[Drawing],
    folder: Path,
    formats: Sequence[str],
    processes: int = 1,
    on_figure: Callable[[int], None] = lambda _: None,
) -> list[Path]:
    """Make figures and write their files.

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


def _write(item: Drawing, folder: Path, formats: Sequence[str]) -> list[Path]:
    with theme():
        return save(item.make(), folder / item.name, formats)
