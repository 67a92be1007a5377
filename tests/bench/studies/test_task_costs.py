"""The committed sizes and costs of tasks: of every family, as it is registered."""

from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.config.registry import task_registry
from l2obench.bench.studies.task_costs import COLUMNS, count_coordinates

ROWS = pd.read_csv(Path(__file__).resolve().parents[3] / "docs" / "task_costs.csv").set_index("task")


def test_every_family_has_a_row_with_its_horizon_and_minibatch() -> None:
    assert ("task", *ROWS.columns) == COLUMNS
    assert set(ROWS.index) == {name for name, entry in task_registry().entries.items()}
    for name, row in ROWS.iterrows():
        task = task_registry().create(str(name))
        assert row["horizon"] == task.horizon
        batch = getattr(task, "batch", None)
        assert pd.isna(row["batch"]) if batch is None else row["batch"] == batch


@pytest.mark.parametrize("name", ["quadratic", "mnist-mlp", "char-transformer", "practice-gru"])
def test_a_row_has_the_coordinates_of_its_task(name: str) -> None:
    assert ROWS.loc[name, "coordinates"] == count_coordinates(task_registry().create(name))
