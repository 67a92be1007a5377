"""Fixed targets: made from a run, written, read, and shipped."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from l2obench.bench.commands.cli import app
from l2obench.bench.config.registry import task_registry
from l2obench.bench.stats import TargetError, stored_targets
from l2obench.bench.stats.targets import format_targets, make_targets, parse_targets
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS


def cell(optimizer: str, finals: list[float], **columns: object) -> list[dict[str, object]]:
    """Rows whose losses fall in a straight line from 10 to the final loss, in ten steps."""
    base = {"task": "bowl", "task_version": 3, "optimizer": optimizer, "optimizer_version": 1, "track": "tuned"}
    base |= {"learned": False, "hyperparameters": '{"lr": 0.5}', "steps": 10, "final_window": 1}
    return [
        {
            **dict.fromkeys(SCHEMAS["cells"].names),
            **base,
            "seed": seed,
            "status": "ok" if np.isfinite(final) else "diverged",
            "loss": np.linspace(10, final, 11).tolist() if np.isfinite(final) else [10.0] + [np.inf] * 10,
            "final_loss": final,
            **columns,
        }
        for seed, final in enumerate(finals)
    ]


def frame(*cells: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([row for rows in cells for row in rows])


def test_target_is_the_median_of_the_tuned_baseline_with_the_lowest_mean() -> None:
    cells = frame(
        cell("sgd", [1.0, 2.0, 6.0]),
        cell("adam", [0.0, 5.0, 5.0]),
        cell("lstm", [0.1, 0.1, 0.1], learned=True),
        cell("nag", [0.1, 0.1, 0.1], track="default"),
        cell("rmsprop", [0.1, 0.1, np.inf]),
    )
    (target,) = make_targets(cells, "abc")
    assert (target.task, target.task_version, target.optimizer, target.loss, target.seeds) == ("bowl", 3, "sgd", 2.0, 3)
    # Adam's seeds end at 0, 5 and 5: the first is at 2 after 8 steps, and half of the seeds never are.
    assert (target.adam_lr, target.adam_steps) == (0.5, None)


def test_steps_of_the_reference() -> None:
    (target,) = make_targets(frame(cell("sgd", [5.0, 5.0]), cell("adam", [0.0, 20.0])), "abc")
    assert target.adam_steps == 5


def test_learned_optimizers_move_no_target() -> None:
    baselines = [cell("sgd", [1.0, 2.0, 6.0]), cell("adam", [0.0, 5.0, 9.0])]
    new = cell("lstm", [0.0, 0.0, 0.0], learned=True)
    assert make_targets(frame(*baselines), "abc") == make_targets(frame(new, *baselines), "abc")


def test_no_target_where_no_baseline_arrives_anywhere() -> None:
    assert make_targets(frame(cell("sgd", [np.inf, np.inf, 1.0])), "abc") == []


def test_targets_survive_writing_and_reading() -> None:
    made = make_targets(frame(cell('s"g\\d\n', [1.0, 2.0]), cell("adam", [5.0, 5.0])), "abc+")
    assert list(parse_targets(format_targets(made)).values()) == made


@pytest.mark.parametrize("text", ["[[target]]\ntask = 3", "= nothing", "target = 7", '[[target]]\ntask = "x"'])
def test_damaged_files_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(TargetError, match="the file of targets is damaged") as caught:
        parse_targets(text)
    assert "\n" not in str(caught.value)


def test_two_entries_of_one_task_are_refused() -> None:
    text = format_targets(make_targets(frame(cell("sgd", [1.0, 2.0])), "abc"))
    with pytest.raises(TargetError, match="two entries"):
        parse_targets(text + "\n" + text)


def test_shipped_targets_are_of_tasks_as_they_are_now() -> None:
    assert stored_targets()
    for (name, version), target in stored_targets().items():
        assert task_registry().create(name).version == version
        assert target.adam_lr is not None
        assert not target.commit.endswith("+"), "made from a run with uncommitted changes"


def test_command_keeps_what_the_run_does_not_have(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin({"environment": {"commit": "abc", "dirty": True}})
    run.write("cells", "one", {}, cell("sgd", [1.0, 2.0]))
    file = tmp_path / "targets.toml"
    other = make_targets(frame(cell("sgd", [3.0], task="valley")), "abc")
    file.write_text("# why\n\n" + format_targets(other), encoding="utf-8")
    for _ in range(2):
        done = CliRunner().invoke(app, ["targets", str(run.folder), "--out", str(file)])
        assert done.exit_code == 0, done.output
        assert file.read_text(encoding="utf-8").startswith("# why\n\n[[target]]\n")
        targets = parse_targets(file.read_text(encoding="utf-8"))
        assert {key: target.loss for key, target in targets.items()} == {("bowl", 3): 1.5, ("valley", 3): 3.0}
        assert targets["bowl", 3].commit == "abc+"
