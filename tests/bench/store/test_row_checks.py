"""Held-out metrics along a run are read as a run writes them, and refused where no run can have written them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import l2obench
from l2obench.bench.store.row_checks import require_rows

KEY = {"task": "bowl", "optimizer": "adam", "track": "default", "seed": 0, "metric": "loss"}


def curves(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([KEY | row for row in rows])


def test_curves_of_several_steps_are_accepted() -> None:
    require_rows(curves({"steps": [0, 5, 9], "values": [1.0, 0.5, 0.2]}, {"steps": [0], "values": [1.0]}), "heldout")
    require_rows(curves({"steps": [], "values": []}), "heldout")


@pytest.mark.parametrize(
    ("steps", "values", "said"),
    [
        ([0, 5], [1.0], "a value for each step"),
        ([0, 5, 5], [1.0, 0.5, 0.2], "growing whole numbers"),
        ([-1, 5], [1.0, 0.5], "growing whole numbers"),
        ([0.5, 5], [1.0, 0.5], "growing whole numbers"),
    ],
)
def test_curves_that_no_run_writes_are_refused(steps: list[float], values: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        require_rows(curves({"steps": steps, "values": values}), "heldout")


def test_a_run_with_held_out_data_is_read_again(tmp_path: Path) -> None:
    words: dict[str, Any] = {"seeds": 2, "tune": False, "timing": False, "progress": False}
    l2obench.run(tasks="mnist-mlp[horizon=3,units=2]", optimizers="sgd", out=tmp_path, **words)
    assert list((tmp_path / "heldout").glob("*.parquet"))
    assert l2obench.Results(tmp_path).frame()["heldout_loss"].notna().all()
