"""The committed rows behind the rule over sizes: of the models that the study makes, and in line with the rule."""

from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.studies.replicas_together import COLUMNS, MODELS, REPLICAS, make_task
from l2obench.tasks.modules.workshop import workshop

ROWS = pd.read_csv(Path(__file__).resolve().parents[3] / "docs" / "replicas_together.csv")


def test_a_row_for_each_model_and_number_of_replicas() -> None:
    assert tuple(ROWS.columns) == COLUMNS
    assert list(zip(ROWS["model"], ROWS["replicas"], strict=True)) == [(name, k) for name in MODELS for k in REPLICAS]


@pytest.mark.parametrize("name", list(MODELS))
def test_sizes_are_those_of_the_models_and_the_rule_takes_what_is_faster(name: str) -> None:
    size = workshop(make_task(name), False).batching()
    rows = ROWS[ROWS["model"].eq(name)]
    assert rows["operations"].eq(size.flops).all()
    assert rows["graph_bytes"].eq(size.saved_bytes).all()
    for replicas, ratio in zip(rows["replicas"], rows["ratio"], strict=True):
        # A tenth is less than another machine differs by.
        assert ratio < 1.1 if size.together(int(replicas), "cpu") else ratio > 0.65
