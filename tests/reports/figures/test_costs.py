"""What an update costs: the columns of the table by hand, and the figure in multiples of Adam's."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from l2obench.reports.figures.costs import cost_drawings, in_multiples
from l2obench.reports.figures.drawing import write_figures
from l2obench.reports.numbers.costs import costs
from l2obench.reports.reading import read_results

MANIFEST = {"costs": {"tasks": {"bowl": {"parameters": 10}}, "optimizers": {"adam": {"flops_per_coordinate": 11}}}}


def counts(optimizer: str, flops: float | None, moved: float | None, **also: Any) -> dict[str, Any]:
    return {"task": "bowl", "optimizer": optimizer, "update_flops": flops, "update_bytes": moved, **also}


@pytest.fixture
def table(cell: Any, frame: Any) -> pd.DataFrame:
    cells = frame(
        cell("adam", [1.0], seconds=(3e-4, 1e-4), state_bytes=80),
        cell("averaging", [1.0], seconds=(3e-4, 5e-4), state_bytes=40),
        cell("sgd", [1.0], seconds=(3e-4, 2e-5), state_bytes=0),
        cell("never-timed", [1.0], seconds=(None, None)),
    )
    timing = [
        counts("adam", 999.0, 720.0, record_passes=0),
        counts("averaging", 220.0, 1440.0, record_passes=1),
        counts("sgd", None, 80.0, record_passes=0),
        counts("never-timed", None, None, record_passes=None),
    ]
    return costs(cells, {"toy": MANIFEST}, pd.DataFrame(timing))


def test_counts_of_an_update_for_each_coordinate(table: pd.DataFrame) -> None:
    rows = table.set_index("optimizer")
    assert rows["flops_per_coordinate"].fillna(-1).tolist() == [11, 22, -1, -1]  # stated; counted; not known
    assert rows["bytes_per_coordinate"].fillna(-1).tolist() == [72, 144, 8, -1]
    assert rows["bytes_once_per_coordinate"].tolist()[:3] == [8 + 16, 8 + 8, 8]
    assert rows["record_passes"].fillna(-1).tolist() == [0, 1, 0, -1]
    assert rows["update_nanoseconds_per_coordinate"].tolist()[:3] == pytest.approx([1e4, 5e4, 2e3])


def test_multiples_of_adams_with_the_quickest_first(table: pd.DataFrame) -> None:
    found = in_multiples(table)
    assert found.index.tolist() == ["sgd", "adam", "averaging"]
    assert found.loc["adam"].tolist() == [1, 1, 1, 1]
    assert found.loc["averaging"].tolist() == pytest.approx([2, 2, 5, 2])
    assert in_multiples(table[table["optimizer"] != "adam"]).empty


def test_figure_where_adam_was_counted(table: pd.DataFrame, tmp_path: Path) -> None:
    (drawn,) = cost_drawings(table)
    assert "for sgd, adam, averaging" in drawn.description
    write_figures([drawn], tmp_path, ["png"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".csv"}
    assert not cost_drawings(table.assign(bytes_per_coordinate=None))


def test_a_run_from_before_updates_were_counted_shows_nothing_there(cell: Any, write_run: Any, tmp_path: Path) -> None:
    results = read_results([write_run(tmp_path / "run", [cell("adam", [1.0]), cell("sgd", [1.0])], **MANIFEST)])
    table = costs(results.cells, results.manifests, results.timing)
    assert table[["bytes_per_coordinate", "record_passes"]].isna().all(axis=None)
    assert table["flops_per_coordinate"].fillna(-1).tolist() == [11, -1]
    assert not cost_drawings(table)
