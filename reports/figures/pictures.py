"""Pictures that optimizers made, one optimizer a row, one step a column: a figure for each seed with pictures."""

import io
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.figures.canvas import TICK_SIGNS, break_label, literal
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.numbers.counting import groups
from l2obench.reports.reading import ReportError

KIND = "pictures"
# Pixels. Pictures come out of results, which others may have written: a larger one is refused before it is decoded.
MAX_SIDE = 2048
SIDE, LABEL_WIDTH, HEADING = 1.15, 2.1, 0.62  # inches
TITLE_SIGNS = 80

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Strip:
    """What one optimizer made: pictures and losses by step."""

    label: str
    pictures: dict[int, Pixels]
    losses: dict[int, float]
    remark: str
    """Why there are no more pictures; empty where there are all."""


@dataclass(frozen=True)
class Grid:
    """The strips of one seed of a task, the lowest final loss first, and what the function was drawn from."""

    title: str
    key: tuple[str, ...]
    steps: list[int]
    originals: dict[str, Pixels]
    strips: list[Strip]


def picture_drawings(cells: pd.DataFrame, pictures: pd.DataFrame) -> list[Drawing]:
    """A grid of pictures for every task and seed.

    Args:
        cells: rows of the kind `cells`, of one run or several.
        pictures: rows of the kind `pictures`, of the same runs.

    Raises:
        ReportError: a picture in the results is damaged.
    """
    found = []
    for grid in grids(cells, pictures):
        names = ", ".join(strip.label for strip in grid.strips)
        words = f"Pictures on {grid.title} at steps {', '.join(map(str, grid.steps))}, by {names}"
        found.append(drawing(KIND, grid.key, words, partial(grid_figure, grid), partial(grid_numbers, grid)))
    return found


def grids(cells: pd.DataFrame, pictures: pd.DataFrame) -> list[Grid]:
    """One grid for each task and seed, each optimizer in its tuned track, or in its default one if it has no other.

    Args:
        cells: rows of the kind `cells`, of one run or several.
        pictures: rows of the kind `pictures`, of the same runs.

    Raises:
        ReportError: a picture in the results is damaged.
    """
    found = []
    for key, rows in groups(pictures, "task", "seed"):
        names = [str(value) for value in key.values()]
        here = cells[np.logical_and.reduce([cells[name] == value for name, value in key.items()])]
        best = here.assign(final=here["final_loss"].fillna(np.inf), untuned=~here["track"].map(is_tuned).astype(bool))
        best = best.sort_values("untuned", kind="stable").drop_duplicates("optimizer").sort_values("final")
        strips = [_strip(cell, rows) for _, cell in best.iterrows()]
        if not strips:
            continue  # the run was stopped between a cell's pictures and its rows
        originals = rows[rows["step"].isna()].drop_duplicates("what")
        title = f"{key['task']}, seed {key['seed']}" + (f", in {key['run']}" if "run" in key else "")
        found.append(
            Grid(
                title=title,
                key=tuple(names),
                steps=sorted({step for strip in strips for step in strip.pictures}),
                originals={str(row["what"]): _decoded(row["png"]) for _, row in originals.iterrows()},
                strips=strips,
            )
        )
    return found


def grid_numbers(grid: Grid) -> pd.DataFrame:
    """The loss below each picture.

    Args:
        grid: the pictures of one task.
    """
    rows = [
        {"optimizer": strip.label, "step": step, "loss": loss}
        for strip in grid.strips
        for step, loss in sorted(strip.losses.items())
    ]
    return pd.DataFrame(rows, columns=["optimizer", "step", "loss"])


def grid_figure(grid: Grid) -> Figure:
    """Draw optimizers in rows and steps in columns, the loss below each picture, the target pictures on top.

    Args:
        grid: the pictures of one task.
    """
    columns, rows = len(grid.steps), len(grid.strips) + 1
    width, height = LABEL_WIDTH + columns * SIDE, HEADING + rows * (SIDE + 0.2)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.text(0.1 / width, 1 - 0.1 / height, literal(grid.title, TITLE_SIGNS), va="top", fontweight="bold")

    def place(row: int, column: int) -> Axes:
        """Axes of one picture; those of the originals stand above the steps, whose headings need room."""
        top = 0.42 + row * (SIDE + 0.2) + (0.2 if row else 0)
        box = (LABEL_WIDTH + column * SIDE) / width, 1 - (top + SIDE) / height, (SIDE - 0.06) / width, SIDE / height
        axes = figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def label(row: int, text: str) -> None:
        place(row, 0).set_visible(False)
        top = 0.42 + row * (SIDE + 0.2) + (0.2 if row else 0)
        figure.text(0.1 / width, 1 - (top + SIDE / 2) / height, text, va="center", fontsize=10)

    for column, (what, picture) in enumerate(grid.originals.items()):
        axes = place(0, column)
        axes.imshow(picture, interpolation="nearest")
        axes.set_xlabel(literal(what, TICK_SIGNS), fontsize=8, labelpad=2)
    if grid.originals:
        label(0, "target")
    for row, strip in enumerate(grid.strips, 1):
        label(row, break_label(strip.label))
        for column, step in enumerate(grid.steps):
            axes = place(row, column)
            if row == 1:
                axes.set_title(f"step {step}", loc="center", fontsize=9, fontweight="normal", pad=3)
            if step in strip.pictures:
                axes.imshow(strip.pictures[step], interpolation="nearest")
                axes.set_xlabel(f"{strip.losses[step]:.3g}", fontsize=8, labelpad=2)
            else:
                axes.set_facecolor("#f1f1f1")
                axes.text(0.5, 0.5, strip.remark, ha="center", va="center", fontsize=8, transform=axes.transAxes)
    return figure


def _strip(cell: Any, rows: pd.DataFrame) -> Strip:
    own = rows[(rows["optimizer"] == cell["optimizer"]) & (rows["track"] == cell["track"]) & rows["step"].notna()]
    pictures = {int(row["step"]): _decoded(row["png"]) for _, row in own.iterrows()}
    losses = cell["loss"]
    untuned = not is_tuned(cell["track"]) and not bool(cell["learned"])
    remark = {"ok": "not kept", "diverged": "diverged"}.get(cell["status"], "failed")
    return Strip(
        label=f"{cell['optimizer']}{', untuned' if untuned else ''}",
        pictures=pictures,
        losses={step: float(losses[step]) for step in pictures},
        remark=remark,
    )


def _decoded(png: bytes) -> Pixels:
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise ReportError(f"a picture in the results has {image.size} pixels; at most {MAX_SIDE} a side")
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise ReportError(f"a picture in the results is damaged: {error}") from error
