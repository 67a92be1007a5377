"""The examples of the documentation run: each of their tasks meets all requirements, and is trained for a few steps."""

import math
from pathlib import Path

import pytest

import l2obench
from l2obench.bench.run.plugin_test import examine, find_subject

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
TASKS = {
    "digits_module.py": ["Digits[channels=2,horizon=2]"],
    "resnet_and_gru.py": ["ResNet[blocks=1,channels=2,horizon=2]", "GRU[hidden=3,horizon=2]"],
}


@pytest.mark.parametrize("file", TASKS)
def test_an_example_is_run_and_compared(file: str, tmp_path: Path) -> None:
    tasks = [f"{EXAMPLES / file}:{task}" for task in TASKS[file]]
    optimizers = ["adam", "general"]
    results = l2obench.run(
        tasks=tasks, optimizers=optimizers, seeds=2, tune=False, timing=False, progress=False, out=tmp_path
    )
    assert results.errors == []
    assert results.failures == 0
    rows = results.trajectories()
    assert len(rows) == len(tasks) * len(optimizers) * 2
    assert rows["heldout_accuracy"].between(0, 1).all()
    assert all(math.isfinite(loss) for loss in rows["final_loss"])
    assert rows["heldout_metrics"].str.contains('"top3"').all()


@pytest.mark.slow
@pytest.mark.parametrize("path", [f"{file}:{task}" for file, tasks in TASKS.items() for task in tasks])
def test_an_example_meets_all_requirements(path: str) -> None:
    failed = [found for found in examine(find_subject(f"{EXAMPLES}/{path}"), 300.0) if found.status == "failed"]
    assert failed == []


def test_no_example_is_left_out() -> None:
    """Those without a task are scripts, which `tests/test_race_examples.py` runs."""
    assert {path.name for path in EXAMPLES.glob("*.py") if "ModuleTask" in path.read_text("utf-8")} == TASKS.keys()
