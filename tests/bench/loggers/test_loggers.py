"""Loggers: nothing twice, nothing that fails stops the work, and each tool keeps what it is given."""

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from l2obench.bench.loggers.base import Logger, Value
from l2obench.bench.loggers.choice import BACKENDS, LogError, Loggers, read_tools
from l2obench.bench.loggers.once import NOTES, LoggedOnce
from l2obench.bench.loggers.unfailing import UnfailingLogger

Scalars = list[tuple[int, float]]


class Recorder(Logger):
    """Keeps what it is given; fails from the second scalar on where asked to."""

    def __init__(self, failing: type[BaseException] | None = None) -> None:
        self.run_id = "recorder"
        self.failing = failing
        self.calls: list[tuple[Any, ...]] = []

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        self.calls.append((tag, value, step, line))
        if self.failing is not None and len(self.calls) > 1:
            raise self.failing("no space left on device")

    def log_figure(self, tag: str, figure: Figure, step: int) -> None:
        self.calls.append((tag, step))

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        self.calls.append((tag, text, step))

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        self.calls.append(("hyperparameters", dict(values)))

    def flush(self) -> None: ...

    def close(self) -> None: ...


def read_scalars(folder: Path, tag: str) -> Scalars:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def open_tensorboard(folder: Path, fresh: bool = False) -> Loggers:
    return Loggers(["tensorboard"], folder, "demo", fresh=fresh, warn=pytest.fail)


def test_a_tool_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(LogError, match=r"no log is called 'mlfow'\. Did you mean mlflow\?"):
        read_tools("tensorboard,mlfow")


def test_a_package_that_is_missing_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LogError, match=r"log mlflow needs a package .* Try: pip install mlflow-skinny"):
        read_tools(["mlflow"])


def test_tools_are_named_once_each() -> None:
    assert read_tools(" tensorboard,tensorboard, ") == ["tensorboard"]


def test_a_point_is_logged_once_over_several_starts(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    logger = LoggedOnce(lambda folder, name, run_id: first, tmp_path, "demo", fresh=True)
    for step in (1, 2, 2, 3):
        logger.log_scalar("loss", float(step), step)
    logger.log_scalar("loss", 7.0, 2, line="baseline")  # another curve of the same chart
    logger.flush()
    assert [call[1:] for call in first.calls] == [(1.0, 1, ""), (2.0, 2, ""), (3.0, 3, ""), (7.0, 2, "baseline")]
    logger = LoggedOnce(lambda folder, name, run_id: second, tmp_path, "demo", fresh=False)
    for step in (2, 3, 4):
        logger.log_scalar("loss", float(step), step)
    assert second.calls == [("loss", 4.0, 4, "")]


def test_a_later_start_continues_the_run_of_the_first_unless_it_begins_anew(tmp_path: Path) -> None:
    given: list[str | None] = []

    def backend(folder: Path, name: str, run_id: str | None) -> Logger:
        given.append(run_id)
        return Recorder()

    for fresh in (True, False, True):
        LoggedOnce(backend, tmp_path, "demo", fresh=fresh).close()
    assert given == [None, "recorder", None]


def test_a_failing_tool_ends_in_one_line_and_is_left_alone() -> None:
    lines: list[str] = []
    inner = Recorder(failing=OSError)
    logger = UnfailingLogger("tensorboard", lambda: inner, lines.append)
    for step in range(5):
        logger.log_scalar("loss", 1.0, step)
    logger.close()
    assert len(inner.calls) == 2
    assert lines == ["tensorboard is not written any more: OSError: no space left on device. Everything else goes on"]


def test_a_signal_is_no_failure_of_a_tool() -> None:
    logger = UnfailingLogger("tensorboard", lambda: Recorder(failing=KeyboardInterrupt), pytest.fail)
    logger.log_scalar("loss", 1.0, 0)
    with pytest.raises(KeyboardInterrupt):
        logger.log_scalar("loss", 1.0, 1)


@pytest.mark.parametrize("damage", ["a file in the place of the folder", "notes that are no JSON"])
def test_a_folder_that_cannot_be_used_ends_in_one_line(tmp_path: Path, damage: str) -> None:
    if damage.startswith("notes"):
        (tmp_path / "tensorboard").mkdir()
        (tmp_path / "tensorboard" / NOTES).write_text("{", encoding="utf-8")
    else:
        (tmp_path / "tensorboard").write_text("", encoding="utf-8")
    lines: list[str] = []
    logger = Loggers(["tensorboard"], tmp_path, "demo", fresh=False, warn=lines.append)
    logger.log_scalar("loss", 1.0, 1)
    logger.close()
    assert len(lines) == 1
    assert lines[0].startswith("tensorboard is not written any more: ")


FULL_DISK = """
import resource, sys
from pathlib import Path
from l2obench.bench.loggers.choice import Loggers

lines = []
logger = Loggers(["tensorboard"], Path(sys.argv[1]), "demo", fresh=True, warn=lines.append)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for step in range(500):
    logger.log_scalar("loss", 1.0, step)
    logger.flush()
logger.close()
print(len(lines), lines[0])
"""


def test_a_log_that_failed_is_abandoned_once_and_gets_nothing_more(tmp_path: Path) -> None:
    calls: list[str] = []

    class Full(Logger):
        run_id = "full"

        def __getattribute__(self, name: str) -> Any:
            calls.append(name)
            return object.__getattribute__(self, name)

        def flush(self) -> None:
            raise OSError("disk full")

    logger = UnfailingLogger("full", lambda: LoggedOnce(lambda *_: Full(), tmp_path, "demo", fresh=True), calls.append)
    for _ in range(2):
        logger.flush()
    logger.close()
    assert calls[-3] == "flush"
    assert calls[-2].startswith("full is not written any more: OSError: disk full")
    assert calls[-1] == "abandon"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_a_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    """For real: the system refuses to make the event file longer."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 tensorboard is not written any more: OSError: ")


def test_tensorboard_continues_and_begins_anew(tmp_path: Path) -> None:
    for fresh, steps in ((True, (1, 2)), (False, (2, 3))):
        logger = open_tensorboard(tmp_path, fresh)
        for step in steps:
            logger.log_scalar("validation/loss", step / 2, step)
            logger.log_scalar("validation/loss", 0.25, step, line="best tuned baseline")
        logger.close()
    folder = tmp_path / "tensorboard"
    assert read_scalars(folder, "validation/loss") == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert read_scalars(folder / "best-tuned-baseline", "validation/loss") == [(1, 0.25), (2, 0.25), (3, 0.25)]
    logger = open_tensorboard(tmp_path, fresh=True)
    logger.log_scalar("validation/loss", 4.0, 1)
    logger.close()
    assert read_scalars(folder, "validation/loss") == [(1, 4.0)]


# Weights & Biases and MLflow take more than 100 MB with what they need. CI has none of them; docs/meta-training.md says
# how they were tested.
@pytest.mark.parametrize("tool", sorted(BACKENDS))
def test_every_tool_takes_all_kinds_and_goes_on(tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(tool)
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    figure = Figure()
    figure.add_subplot().plot([1, 2, 3])
    for step in (1, 2):
        logger = Loggers([tool], tmp_path, "demo", fresh=step == 1, warn=pytest.fail)
        logger.log_hyperparameters({"lr": 0.1, "functions": 8, "weighting": "uniform", "second_order": False})
        logger.log_text("recipe", "**a text**")
        logger.log_scalar("loss/mnist-mlp[units=40]", 1.0 / step, step, line="lstm[checkpoint=a/b] default")
        logger.log_figure("validation/trajectories", figure, step)
        logger.flush()
        logger.close()
    kept = [path for path in (tmp_path / tool).rglob("*") if path.is_file()]
    assert len(kept) > 2
    if tool == "mlflow":
        (points,) = [path.read_text().splitlines() for path in kept if path.name.startswith("lstm")]
        assert [line.split()[1:] for line in points] == [["1.0", "1"], ["0.5", "2"]]
    if tool == "wandb":
        assert len({path.stem.removeprefix("run-") for path in kept if path.suffix == ".wandb"}) == 1
        assert all(b"mnist-mlp-units-40" in path.read_bytes() for path in kept if path.suffix == ".wandb")


def test_weights_and_biases_asks_nobody_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    lines: list[str] = []
    Loggers(["wandb"], tmp_path, "demo", fresh=True, warn=lines.append).close()
    assert len(lines) == 1
    assert "WANDB_MODE=online needs a key. Try: wandb login" in lines[0]
