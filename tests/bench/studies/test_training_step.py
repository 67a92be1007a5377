"""The study of training steps: ratios to AdamW in each run, medians over runs, and the rows that pages quote."""

from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.studies import training_step


def test_ratios_are_taken_in_each_run_and_their_medians_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = iter([(0.1, 0.2), (0.3, 0.3), (0.2, 0.3)] * 2)
    monkeypatch.setattr(training_step, "measure", lambda model, names: dict(zip(names, next(runs), strict=True)))
    training_step.main(["general"], runs=3, to=tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv")
    general = rows[rows["optimizer"] == "general"]
    assert general["model"].tolist() == ["GPT", "CNN"]
    assert general["over_adamw"].tolist() == [1.5, 1.5]
    assert general["milliseconds"].tolist() == [300, 300]
    assert rows.groupby("model")["parameters"].first().round(-3).to_dict() == {"CNN": 289_000, "GPT": 818_000}
    assert rows["runs"].eq(3).all()
