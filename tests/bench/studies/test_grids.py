"""The study of grids: level 0 is the tuning of the run, and finer levels are never worse on the tuning functions."""

from pathlib import Path

import pytest

from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.studies.grids import LEVELS, study

SUITE = {
    "seeds": 10,
    "tuning_seeds": 4,
    "optimizers": ["sgd", "adam", "lstm[checkpoint=quadratic]"],
    "tasks": [{"task": "quadratic[horizon=15]"}],
}


def test_each_level_has_a_verdict_against_each_baseline(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Runner(RunFolder(folder), make_suite("test", SUITE).cells()).execute({"suite": "test"})
    found = study(folder)
    assert len(found) == 2 * (LEVELS + 1)
    assert set(found["level"]) == set(range(LEVELS + 1))
    tuned = RunFolder(folder).read("cells").query("track == 'tuned' and optimizer == 'adam'")
    levels = found.query("baseline == 'adam'").set_index("level")
    # The run itself halves its steps once.
    assert f'"lr": {levels["lr"][1]}' in tuned["hyperparameters"].iloc[0]
    assert levels["baseline_mean"][1] == pytest.approx(tuned["final_loss"].mean(), rel=1e-4)
    assert found["verdict"].isin(["better", "worse", "mixed", "no difference"]).all()
