"""The command line in this process, with a limit: what it answers to hostile input, and what it leaves."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from l2obench.bench.commands.cli import main
from l2obench.bench.config import trial_import

LIMIT_SECONDS = 10
TASK = "quadratic[dim=3,horizon=5]"
RUN = ["run", "-t", TASK, "-o", "sgd", "--seeds", "2", "--no-timing"]


@pytest.fixture(autouse=True)
def first_imports_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that other tests left would have a deadly import run in this process, and end the runner."""
    monkeypatch.setattr(trial_import, "beside_other_threads", lambda: False)


class Hang(BaseException):
    """The limit is over. No Exception, so that no handler takes it for one of its own."""


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    def is_one_line(self, *words: str, code: int = 2) -> None:
        """Exactly one line on stderr, without a traceback, and the exit code."""
        assert self.code == code, (self.code, self.err)
        assert self.err.startswith("l2obench: ")
        assert self.err.count("\n") == 1, self.err
        for word in words:
            assert word in self.err


Command = Callable[..., Answer]


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGALRM, stop)
    # Processor time would not pass while a FIFO is waited for.
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, limit: int = 6 * LIMIT_SECONDS) -> Answer:
        monkeypatch.setattr(sys, "argv", ["l2obench", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with limited(limit), pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        return Answer(int(ended.value.code or 0), found.out, found.err)

    return run


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with every kind of file."""
    from l2obench.bench.config.suite import make_suite
    from l2obench.bench.run.runner import Runner
    from l2obench.bench.store.run_folder import RunFolder

    folder = tmp_path_factory.mktemp("good") / "run"
    cells = make_suite("test", {"seeds": 2, "tuning_seeds": 1, "optimizers": ["sgd"], "tasks": [{"task": TASK}]})
    Runner(RunFolder(folder), cells.cells()).execute({"suite": "test"})
    return folder
