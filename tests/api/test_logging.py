"""`--log` in trainings and runs, and the baseline that a training is compared with."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import l2obench
from l2obench.api.run_log import RunLog
from l2obench.api.training_log import TrainingLog, draw_validation
from l2obench.api.training_session import train_and_compare
from l2obench.api.training_summary import compare_with_baseline, next_commands
from l2obench.api.validation_baseline import BASELINES, FILE, ValidationBaseline, read_baseline
from l2obench.bench.config.recipe import make_recipe
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.loggers.choice import LogError
from l2obench.bench.metatrain.session import Session
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from tests.bench.loggers.test_loggers import read_scalars

# As many functions as let the baselines be tuned.
SMALL: dict[str, Any] = {
    "task": "quadratic[dim=3,horizon=10]",
    "optimizer": "lstm[hidden=4,layers=1,output_scale=1,preprocessing=none]",
    "functions": 128,
    "unroll": 10,
    "trajectories": 9,
    "validate_every": 3,
    "validation_functions": 8,
}
SHORT = "quadratic[horizon=5]"


def make_session(folder: Path, **changes: Any) -> Session:
    return Session(folder, make_recipe(SMALL | changes))


def steps(folder: Path, tag: str) -> list[int]:
    return [step for step, _ in read_scalars(folder, tag)]


def test_a_training_logs_its_curves_and_the_baseline_as_a_line(tmp_path: Path) -> None:
    baseline = train_and_compare(make_session(tmp_path), "training", ["tensorboard"], progress=False)
    folder = tmp_path / "tensorboard"
    for tag in ("training/meta_loss", "training/gradient_norm", "training/learning_rate"):
        assert steps(folder, tag) == list(range(1, 10))
    assert steps(folder, "validation/loss") == [3, 6, 9]
    assert baseline is not None
    assert read_scalars(folder / "best-tuned-baseline", "validation/loss") == [
        (step, pytest.approx(baseline.validation)) for step in (0, 3, 6, 9)
    ]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    assert [image.step for image in events.Images("validation/trajectories")] == [3, 6, 9]
    assert "recipe/text_summary" in events.Tags()["tensors"]


def test_a_training_that_was_killed_logs_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state on disk is older than its log: trajectories 4 to 7 run again."""
    first = make_session(tmp_path)
    log_trajectory, save = TrainingLog.log_trajectory, Session.save

    def die(log: TrainingLog, progress: Any) -> None:
        log_trajectory(log, progress)
        if progress.trajectory == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLog, "log_trajectory", die)
        patched.setattr(Session, "save", lambda session: save(session) if session.progress.trajectory <= 3 else None)
        with pytest.raises(KeyboardInterrupt):
            train_and_compare(first, "training", ["tensorboard"], progress=False)
    again = make_session(tmp_path)
    assert again.progress.trajectory == 3
    train_and_compare(again, "training", ["tensorboard"], progress=False)
    assert steps(tmp_path / "tensorboard", "training/meta_loss") == list(range(1, 10))
    assert steps(tmp_path / "tensorboard", "validation/loss") == [3, 6, 9]


def test_what_was_trained_without_a_log_is_logged_later(tmp_path: Path) -> None:
    train_and_compare(make_session(tmp_path), "training", progress=False)
    train_and_compare(make_session(tmp_path), "training", ["tensorboard"], progress=False)
    assert steps(tmp_path / "tensorboard", "training/meta_loss") == list(range(1, 10))


def test_logs_and_baselines_change_no_number(tmp_path: Path) -> None:
    train_and_compare(make_session(tmp_path / "logged"), "training", ["tensorboard"], progress=False)
    make_session(tmp_path / "alone").run()
    logged, alone = (
        read_checkpoint(str(tmp_path / name / "checkpoint.safetensors")).tensors for name in ("logged", "alone")
    )
    assert all(torch.equal(logged[name], alone[name]) for name in alone)


def test_a_log_that_cannot_be_written_stops_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tensorboard").write_text("", encoding="utf-8")
    train_and_compare(make_session(tmp_path), "training", ["tensorboard"])
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert capsys.readouterr().out.count("tensorboard is not written any more") == 1


def test_the_baseline_is_the_best_of_three_on_the_validation_functions(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    baseline = train_and_compare(session, "training", progress=False)
    assert baseline is not None
    (best,) = baseline.families
    seeds = [derive_seed("meta-validation", "quadratic[dim=3]", k) for k in range(8)]
    rule = optimizer_registry().create(f"{best.optimizer}[lr={best.lr!r}]")
    losses = rollout(session.trainer.task, rule, seeds, evaluate=False).losses
    assert float(losses[..., -1].mean()) == pytest.approx(best.final_loss)
    for name in BASELINES:
        default = rollout(session.trainer.task, optimizer_registry().create(name), seeds, evaluate=False).losses
        assert best.final_loss is not None
        assert best.final_loss < float(default[..., -1].mean())


def test_tuning_before_the_training_is_said_once_and_shown_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        "l2obench.api.training_session.ProgressDisplay.count", lambda _, done, total, where: shown.append(where)
    )
    train_and_compare(make_session(tmp_path), "training")
    assert capsys.readouterr().out.count("before it trains: tuning adam, nag, momentum") == 1
    assert shown == [*(f"tuning {name} on quadratic[dim=3,horizon=10]" for name in BASELINES), ""]


def test_the_baseline_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_and_compare(make_session(tmp_path), "training", progress=False)
    monkeypatch.setattr("l2obench.api.training_session.compute_baseline", pytest.fail)
    assert train_and_compare(make_session(tmp_path), "training", progress=False) == first
    other = make_session(tmp_path / "other", validation_functions=4)
    (tmp_path / "other" / FILE).write_bytes((tmp_path / FILE).read_bytes())
    assert read_baseline(other) is None


def test_a_short_training_does_not_wait_for_baselines(tmp_path: Path) -> None:
    assert train_and_compare(make_session(tmp_path, functions=2), "training", progress=False) is None
    assert compare_with_baseline(1.0, None).startswith("It is not compared with a tuned baseline yet")


def test_baselines_that_fail_stop_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(session: Session, _: object) -> ValidationBaseline:
        raise RuntimeError("no memory")

    monkeypatch.setattr("l2obench.api.training_session.compute_baseline", fail)
    assert train_and_compare(make_session(tmp_path), "training") is None
    assert "no baseline was tuned for comparison: RuntimeError: no memory" in capsys.readouterr().out
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_a_training_ends_with_a_comparison_that_is_no_claim_and_with_commands(tmp_path: Path) -> None:
    trained = l2obench.train(
        SMALL["optimizer"], SMALL["task"], out=tmp_path, progress=False,
        **{name: value for name, value in SMALL.items() if name not in ("optimizer", "task")},
    )  # fmt: skip
    assert trained.baseline is not None
    ratio = trained.best_validation / trained.baseline.validation
    (said,) = re.findall(
        r"its loss is (\S+) times that of the best of tuned adam, nag, momentum: \w+ with lr", trained.comparison
    )
    assert float(said) == pytest.approx(ratio, rel=1e-2)
    assert "This is no result" in trained.comparison
    run, gate = next_commands(Session(tmp_path, trained.recipe))
    assert f"checkpoint={trained.checkpoint}" in run
    assert all(f"-o {name}" in run for name in BASELINES)
    assert gate.startswith(f"l2obench check --checkpoint {trained.checkpoint} --against OLD")


def test_of_several_families_the_comparison_is_of_their_ratios(tmp_path: Path) -> None:
    families = ("quadratic[dim=3,horizon=10]", "quadratic[dim=2,horizon=10]")
    session = make_session(tmp_path, validation=families, functions=256)
    baseline = train_and_compare(session, "training", progress=False)
    assert baseline is not None
    assert [each.family for each in baseline.families] == list(families)
    assert "on each of 2 families" in compare_with_baseline(1.0, baseline)
    assert 0 < baseline.validation < 1


def test_a_picture_says_what_it_leaves_out() -> None:
    losses = torch.rand(40, 1, 6) + 0.1
    figure = draw_validation({f"family-{k}": losses for k in range(7)}, trajectory=20)
    assert len(figure.axes) == 6
    title = figure.get_suptitle()
    assert title == "Validation after trajectory 20, the first 32 functions, 6 of 7 families"


def test_a_run_logs_every_cell_once(tmp_path: Path) -> None:
    def run(**options: Any) -> l2obench.Results:
        given: dict[str, Any] = {"tasks": SHORT, "optimizers": ["adam", "sgd[lr=1e30]"], "seeds": 3, "tune": False}
        return l2obench.run(**given, out=tmp_path, progress=False, timing=False, **options)

    run(log="tensorboard")
    folder = tmp_path / "tensorboard"
    adam = folder / "adam-default"
    assert steps(adam, f"loss/{SHORT}") == list(range(6))
    ((step, final),) = read_scalars(adam, f"loss_final/{SHORT}")
    assert step == 5
    frame = RunFolder(tmp_path).read("cells")
    assert final == pytest.approx(frame.loc[frame["optimizer"] == "adam", "final_loss"].mean())
    assert read_scalars(folder / "sgd[lr=1e+30]-default", f"seeds_failed/{SHORT}") == [(5, 3.0)]
    assert read_scalars(adam, f"seconds/{SHORT}")[0][1] > 0
    run(log="tensorboard")
    assert steps(adam, f"loss/{SHORT}") == list(range(6))


def test_a_finished_run_is_logged_later(tmp_path: Path) -> None:
    for log in ("", "tensorboard"):
        l2obench.run(
            tasks=SHORT, optimizers="adam", seeds=2, tune=False, out=tmp_path, progress=False, timing=False, log=log
        )
    assert steps(tmp_path / "tensorboard" / "adam-default", f"loss/{SHORT}") == list(range(6))


def test_a_log_decides_no_status_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service ends between two cells."""
    from l2obench.bench.loggers.tensorboard import TensorBoardLogger

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("the service is down")

    monkeypatch.setattr(TensorBoardLogger, "log_scalar", fail)
    results = l2obench.run(
        tasks=SHORT, optimizers=["adam", "sgd"], seeds=2, tune=False, out=tmp_path, progress=False, log="tensorboard"
    )
    assert results.failures == 0
    assert results.errors == []


def test_an_unknown_tool_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(LogError):
        l2obench.run(tasks=SHORT, optimizers="adam", out=tmp_path / "run", log="tensorbord")
    assert not (tmp_path / "run").exists()


def test_a_run_without_tools_opens_nothing(tmp_path: Path) -> None:
    RunLog([], tmp_path, {}, fresh=False, warn=pytest.fail).log_stored([])
    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_the_log_itself_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drawing may fail too, before any tool is called."""

    def fail(*_: Any) -> None:
        raise ValueError("no such font")

    monkeypatch.setattr("l2obench.api.training_log.draw_validation", fail)
    train_and_compare(make_session(tmp_path / "training"), "training", ["tensorboard"])
    assert (tmp_path / "training" / "checkpoint.safetensors").exists()
    monkeypatch.setattr(RunLog, "log_cell", fail)
    results = l2obench.run(
        tasks=SHORT, optimizers=["adam", "sgd"], seeds=2, tune=False, out=tmp_path / "run", log="tensorboard"
    )
    assert results.errors == []
    assert capsys.readouterr().out.count("the log is not written any more: ValueError: no such font") == 2
