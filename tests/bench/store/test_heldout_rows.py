"""Held-out curves that no runner can have written are refused where they are read."""

from pathlib import Path
from typing import Any

import pytest

from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder

ROW = {"task": "bowl", "optimizer": "adam", "track": "tuned", "seed": 0, "metric": "loss"}


def write(folder: Path, **columns: Any) -> RunFolder:
    run = RunFolder(folder)
    run.begin({"suite": "test"})
    run.write("heldout", "cell", {}, [ROW | {"steps": [0, 5, 10], "values": [2.0, 1.0, 0.5]} | columns])
    return run


@pytest.mark.parametrize("columns", [{}, {"steps": [], "values": []}, {"values": [float("nan"), float("inf"), 1.0]}])
def test_what_a_run_writes_is_read(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert len(write(tmp_path, **columns).read("heldout")) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"values": [1.0]}, "must have a value for each step"),
        ({"steps": [0, 0, 1]}, "must be growing whole numbers from 0 on"),
        ({"steps": [-1, 0, 1]}, "must be growing whole numbers from 0 on"),
        ({"steps": [0, 1, 10**12]}, "must be growing whole numbers from 0 on"),
        ({"steps": [0, None, 2]}, "must be growing whole numbers from 0 on"),
        ({"metric": None}, "must have a value of metric"),
        ({"steps": None}, "must have a value of steps"),
    ],
)
def test_what_no_run_writes_is_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        write(tmp_path, **columns).read("heldout")
