"""Floors of stored results: the recorded one, else the installed task's, else the default."""

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.stats.pairs import FLOOR
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.cells.table import CellTable
from l2obench.reports.floors import floor_of, with_floors
from l2obench.reports.numbers.headline import headline
from l2obench.reports.reading import read_results
from l2obench.tasks.quadratic import Quadratic


def test_where_a_floor_comes_from() -> None:
    rows = pd.DataFrame({"task": ["quadratic", "quadratic", "nobody:knows"], "floor": [1e-3, np.nan, np.nan]})
    found = with_floors(rows)
    assert found["floor"].tolist() == [1e-3, Quadratic.floor, FLOOR]
    assert found["floor_from"].tolist() == ["recorded", "registered", "default"]
    assert Quadratic.floor != FLOOR


@pytest.mark.parametrize("floor", [-1.0, np.inf, np.nan])
def test_a_recorded_floor_that_is_none_counts_as_missing(floor) -> None:
    found = with_floors(pd.DataFrame({"task": ["nobody:knows"], "floor": [floor]}))
    assert found[["floor", "floor_from"]].to_numpy().tolist() == [[FLOOR, "default"]]


def test_of_two_floors_the_higher_counts(frame, cell) -> None:
    without, with_one = (CellTable(frame(cell("adam", [1.0], **about))).cells[0] for about in ({}, {"floor": 0.5}))
    assert floor_of(without, with_one) == 0.5
    assert floor_of(without) == FLOOR


def test_below_the_recorded_floor_nothing_differs(frame, cell) -> None:
    def verdict(**columns):
        learned = cell("lstm", [1e-4] * 12, learned=True, track="default", **columns)
        return headline(frame(learned, cell("adam", [2e-4] * 12, **columns)))["verdict"].tolist()

    assert verdict() == ["better"]
    assert verdict(floor=1e-3) == ["no difference"]


def test_results_of_earlier_versions_are_read(tmp_path, cell, write_run) -> None:
    old, new = (
        write_run(tmp_path / name, [cell("adam", [1.0], task="quadratic", **columns)])
        for name, columns in (("old", {}), ("new", {"floor": 1e-5}))
    )
    assert read_results([old]).cells["floor"].tolist() == [Quadratic.floor]
    assert read_results([new]).cells["floor"].tolist() == [1e-5]
    assert RunFolder(new).read("cells")["floor"].tolist() == [1e-5]
