"""The grid of pictures: every optimizer's strip with its losses, what is missing said, and what is damaged refused."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.figures.pictures import grid_figure, grids
from l2obench.reports.page.build import ReportError, write_report

INF = float("inf")


def png(value: int, side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (value, 0, 0)).save(buffer, format="png")
    return buffer.getvalue()


def pictures(optimizer: str, track: str, steps: list[int], seeds: int = 1) -> list[dict[str, Any]]:
    common = {"task": "bowl", "optimizer": optimizer, "track": track}
    return [
        common | {"seed": seed, "what": what, "step": step, "png": png(step or 250)}
        for seed in range(seeds)
        for what, step in [("content", None), *(("picture", step) for step in steps)]
    ]


@pytest.fixture
def cells(cell: Callable[..., Any]) -> list[Any]:
    return [
        cell("sgd", [9.0], track="default"),
        cell("sgd", [4.0], track="tuned"),
        cell("lstm[checkpoint=toy]", [1.0], track="default", learned=True),
        cell("nag", [INF], track="tuned"),
    ]


@pytest.fixture
def drawn() -> pd.DataFrame:
    rows = [
        *pictures("sgd", "default", [0, 10, 20]),
        *pictures("sgd", "tuned", [0, 10, 20]),
        *pictures("lstm[checkpoint=toy]", "default", [0, 10, 20]),
        *pictures("nag", "tuned", [0]),
    ]
    return pd.DataFrame(rows)


def test_a_grid_has_each_optimizer_once_the_best_on_top(cells, drawn, frame) -> None:
    (grid,) = grids(frame(*cells), drawn)
    assert [strip.label for strip in grid.strips] == ["lstm[checkpoint=toy]", "sgd", "nag"]
    assert grid.steps == [0, 10, 20]
    assert list(grid.originals) == ["content"]
    assert grid.strips[1].losses == pytest.approx({0: 10.0, 10: 40**0.5, 20: 4.0})
    assert np.array_equal(grid.strips[0].pictures[10][0, 0], [10, 0, 0])


def test_what_diverged_says_so_where_its_pictures_are_missing(cells, drawn, frame) -> None:
    (grid,) = grids(frame(*cells), drawn)
    assert list(grid.strips[2].pictures) == [0]
    texts = [text.get_text() for axes in grid_figure(grid).axes for text in axes.texts]
    assert texts == ["diverged", "diverged"]


def test_a_figure_shows_every_picture_with_its_loss(cells, drawn, frame) -> None:
    (grid,) = grids(frame(*cells), drawn)
    figure = grid_figure(grid)
    assert sum(len(axes.images) for axes in figure.axes) == 1 + 3 + 3 + 1
    assert {"10", "4", "1"} <= {axes.get_xlabel() for axes in figure.axes}


def write(folder: Path, cells: list[Any], drawn: pd.DataFrame, write_run: Callable[..., Path]) -> Path:
    run = write_run(folder, cells)
    rows = [{**row, "step": None if pd.isna(row["step"]) else int(row["step"])} for row in drawn.to_dict("records")]
    (folder / "pictures").mkdir(exist_ok=True)
    RunFolder(folder).write("pictures", "000", {}, rows)
    return run


def test_the_page_holds_the_grids(tmp_path: Path, cells, drawn, write_run) -> None:
    report = write_report([write(tmp_path / "run", cells, drawn, write_run)], tmp_path / "report", ["png"])
    page = report.page.read_text(encoding="utf-8")
    assert "Pictures on bowl, seed 0 at steps 0, 10, 20, by lstm[checkpoint=toy], sgd, nag" in page
    assert any(path.name.startswith("pictures--bowl--0") for path in report.figures)


def test_runs_side_by_side_keep_their_pictures_apart(tmp_path: Path, cells, drawn, write_run) -> None:
    runs = [write(tmp_path / name, cells, drawn, write_run) for name in ("one", "two")]
    report = write_report(runs, tmp_path / "report", ["svg"])
    assert len([path for path in report.figures if path.match("pictures--*.svg")]) == 2


def test_pictures_of_a_cell_that_was_never_finished_are_not_shown(cells, drawn, frame) -> None:
    elsewhere = drawn.assign(task="another")
    assert len(grids(frame(*cells), pd.concat([drawn, elsewhere], ignore_index=True))) == 1


@pytest.mark.parametrize(
    "content", [b"", b"no picture", png(1)[:40], png(1, side=4000)], ids=["empty", "text", "cut off", "huge"]
)
def test_a_damaged_picture_is_refused(tmp_path: Path, cells, drawn, write_run, content: bytes) -> None:
    drawn.at[drawn.index[drawn["track"] == "tuned"][1], "png"] = content
    with pytest.raises(ReportError, match="a picture in the results"):
        write_report([write(tmp_path / "run", cells, drawn, write_run)], tmp_path / "report")
