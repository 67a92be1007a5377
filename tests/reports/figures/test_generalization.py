"""The transfer matrix: what stands in its cells, and what each optimizer is said to have been trained on."""

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from l2obench.reports.figures.generalization import (
    MOST_COLUMNS,
    MOST_ROWS,
    paged,
    transfer_drawings,
    transfer_figure,
)
from l2obench.reports.numbers.familiarity import familiarity
from l2obench.reports.numbers.generalization import generalization
from l2obench.reports.numbers.headline import headline
from l2obench.reports.page.build import write_report

INF = float("inf")
RECIPES = {
    "abc": {"task": "bowl"},
    "def": {"task": "bell", "mixture": ["bell", "bell[dim=2]", "bowl[dim=3]"]},
}
BASELINE = [2.0, 2.2, 1.8, 2.0] * 3
FINAL_LOSSES = {
    ("lstm", "bowl"): [1.0, 1.1, 0.9, 1.0] * 3,
    ("lstm", "bell"): [1.0, INF, 1.0, INF] * 3,
    ("gac", "bowl"): [2.0, 1.8, 2.2, 2.0] * 3,
}


def learned(cell, optimizer, task):
    sha = {"lstm": "abc", "gac": "def"}[optimizer]
    losses = FINAL_LOSSES[optimizer, task]
    return cell(optimizer, losses, task=task, learned=True, track="default", checkpoint_sha256=sha)


@pytest.fixture
def cells(cell):
    return [
        *(cell("adam", BASELINE, task=task) for task in ("bowl", "bell")),
        *(learned(cell, *at) for at in FINAL_LOSSES),
    ]


@pytest.fixture
def table(frame, cells) -> pd.DataFrame:
    rows = frame(*cells)
    return generalization(rows, headline(rows), {"run": {"recipes": RECIPES}})


def at(x: float, y: float) -> tuple[str, str]:
    return ("lstm", "gac")[round(x)], ("bowl", "bell")[round(y)]


def test_what_a_task_is_to_what_was_trained_on() -> None:
    seen = ["bell", "bowl[dim=3]"]
    assert [familiarity(task, seen) for task in ("bell", "bowl", "dish")] == [
        "trained on",
        "others of their kind",
        "held out",
    ]
    assert familiarity("bell", []) == "held out"


def test_the_table_tells_a_mixture_from_one_family(table) -> None:
    rows = table.set_index(["optimizer", "task"])
    assert rows["trained_on"].to_dict() == {
        ("lstm", "bowl"): "bowl",
        ("gac", "bowl"): "a mixture of 3",
        ("lstm", "bell"): "bowl",
    }
    nearest = rows.loc[("gac", "bowl"), ["families", "axis", "difference"]]
    assert nearest.tolist() == ["others of their kind", "dim", "dim 3 → default"], "of the mixture, its own kind"
    assert rows.loc[("lstm", "bell"), "difference"] == "another family: bell, trained on bowl"


def test_cells_hold_ratios_failures_and_gaps(table) -> None:
    axes = transfer_figure("a run", table).axes[0]
    texts = {at(*text.get_position()): (text.get_text(), text.get_fontweight()) for text in axes.texts}
    assert texts == {
        ("lstm", "bowl"): ("0.5", "bold"),
        ("lstm", "bell"): ("∞ (6 failed)", "normal"),
        ("gac", "bowl"): ("1", "normal"),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bowl", "bell"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "B"]
    key = axes.figure.get_supxlabel().split("\n")
    assert key[:2] == ["A  lstm, trained on bowl", "B  gac, trained on a mixture of 3"]
    filled = {at(*box.get_center()) for box in boxes(axes) if box.get_fill() and not box.get_hatch()}
    assert filled == set(FINAL_LOSSES), "what did not run is hatched and has no colour"


def test_what_fails_like_its_baseline_is_no_gap(frame, cell) -> None:
    rows = frame(cell("adam", [INF, 1.0]), cell("lstm", [INF, INF], learned=True, track="default"))
    axes = transfer_figure("a run", generalization(rows, headline(rows), {})).axes[0]
    assert [text.get_text() for text in axes.texts] == ["∞ (2 failed)"]


def test_frames_are_round_what_was_trained_on(table) -> None:
    axes = transfer_figure("a run", table).axes[0]
    frames = {at(*box.get_center()): box.get_linestyle() for box in boxes(axes) if not box.get_fill()}
    assert frames.keys() == {("lstm", "bowl"), ("gac", "bowl")}
    assert frames["lstm", "bowl"] == "solid" != frames["gac", "bowl"], "dashed: other parameters"


def test_colours_are_symmetric_round_one(table) -> None:
    def colour(ratio: float) -> tuple[float, ...]:
        axes = transfer_figure("a run", table.iloc[:1].assign(typical_ratio=ratio)).axes[0]
        return next(box.get_facecolor() for box in boxes(axes) if box.get_fill() and not box.get_hatch())

    better, equal, worse = (colour(ratio) for ratio in (0.2, 1.0, 5.0))
    assert better[2] > better[1], "violet is better"
    assert worse[0] > worse[1] > worse[2], "orange is worse"
    assert min(equal[:3]) > 0.9
    assert colour(10.0) == colour(1e6) == colour(INF)


def boxes(axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_a_matrix_needs_two_of_each(table) -> None:
    assert transfer_drawings(table[table["optimizer"] == "lstm"]) == []
    assert transfer_drawings(table[table["task"] == "bowl"]) == []
    assert len(transfer_drawings(pd.concat([table.assign(run="a"), table.assign(run="b")]))) == 2


def test_no_figure_has_more_rows_or_columns_than_can_be_read(table) -> None:
    """Families stay together where they fit, and every comparison is in one figure."""
    one = table.iloc[0]
    families = {"wave": 20, "bowl": 3, "long": 50}
    rows = pd.DataFrame(
        [
            one.to_dict() | {"task": f"{family}[dim={k}]", "optimizer": f"lstm[units={units}]"}
            for family, count in families.items()
            for k in range(count)
            for units in range(10)
        ]
    )
    pages = list(paged(rows))
    assert sum(map(len, pages)) == len(rows)
    for page in pages:
        assert page["task"].nunique() <= MOST_ROWS
        assert page["optimizer"].nunique() <= MOST_COLUMNS
        figure = transfer_figure("a run", page)
        assert len(figure.axes[0].get_yticks()) == page["task"].nunique()
    assert {task.partition("[")[0] for task in pages[0]["task"]} == {"wave", "bowl"}
    drawings = transfer_drawings(rows)
    assert len({drawing.name for drawing in drawings}) == len(drawings) == len(pages)


def test_a_report_has_the_figure(tmp_path: Path, cells, write_run) -> None:
    report = write_report([write_run(tmp_path / "run", cells, recipes=RECIPES)], tmp_path / "report", ["svg", "pdf"])
    drawn = {path.suffix: path for path in report.figures if path.name.startswith("transfer--")}
    assert drawn.keys() == {".svg", ".pdf", ".csv"}
    ElementTree.parse(drawn[".svg"])
