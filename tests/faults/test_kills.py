"""`kill -9` at random moments, two writers at once, a clock set back: the same results, no finished cell lost."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.processes import assert_same, command, ended, forked

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("KILLS", "100"))
RUN = ["run", "-t", "quadratic[horizon=40]", "-t", "quadratic[dim=20,horizon=40]", "-o", "sgd", "-o", "adam"]
RUN += ["-o", "lstm[checkpoint=quadratic]", "--seeds", "20"]
TRAIN = ["train", "lstm[hidden=6,output_scale=1,preprocessing=none]", "-t", "quadratic[dim=4]", "--functions", "8"]
TRAIN += ["--trajectories", "15", "--validate-every", "1", "--validation-functions", "4"]


def killed(arguments: list[str], folder: Path, seconds: float) -> bool:
    """Start the command and kill it after so long; false if it had ended by itself, well."""
    child = forked(*arguments, folder=folder)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    code = ended(child)
    assert code in (0, -signal.SIGKILL), (folder / "err").read_text()
    return code != 0


def whole_run(arguments: list[str], folder: Path) -> float:
    """Seconds that the command takes undisturbed."""
    began = time.monotonic()
    code, errors = command(*arguments, folder=folder)
    assert code == 0, errors
    return time.monotonic() - began


def test_kills_of_a_run(tmp_path: Path) -> None:
    takes = whole_run([*RUN, "--out", "undisturbed"], tmp_path)
    random.seed(1)
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        out = tmp_path / f"it-{runs}"
        known: dict[Path, tuple[int, bytes]] = {}
        while killed([*RUN, "--out", out.name], tmp_path, random.uniform(0, takes)):
            kills += 1
            found = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("cells/*.parquet")}
            assert known.items() <= found.items()
            known = found
        assert_same(tmp_path / "undisturbed", out)
    print(f"{kills} kills in {runs} runs")


def test_kills_of_a_training(tmp_path: Path) -> None:
    takes = whole_run([*TRAIN, "--out", "undisturbed"], tmp_path)
    expected = load_file(tmp_path / "undisturbed" / "state.safetensors")
    random.seed(2)
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        out = tmp_path / f"it-{runs}"
        while killed([*TRAIN, "--out", out.name], tmp_path, random.uniform(0, takes)):
            kills += 1
        found = load_file(out / "state.safetensors")
        assert found.keys() == expected.keys()
        assert all(bool((found[name] == value).all()) for name, value in expected.items())
    print(f"{kills} kills in {runs} trainings")


def test_two_processes_in_one_folder(tmp_path: Path) -> None:
    whole_run([*RUN, "--out", "undisturbed"], tmp_path)
    for attempt in range(10):
        out = f"it-{attempt}"
        children = [forked(*RUN, "--out", out, folder=tmp_path) for _ in range(2)]
        assert [ended(child) for child in children] == [0, 0], (tmp_path / "err").read_text()
        assert_same(tmp_path / "undisturbed", tmp_path / out)
        assert not list((tmp_path / out).rglob("*.part"))


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """What is there is of the year 2100, by its folder's reckoning."""
    killed([*RUN, "--out", "it"], tmp_path, whole_run([*RUN, "--out", "undisturbed"], tmp_path) / 2)
    files = {path: path.read_bytes() for path in (tmp_path / "it").rglob("*.parquet")}
    for path in (tmp_path / "it").rglob("*"):
        os.utime(path, (4102444800, 4102444800))
    whole_run([*RUN, "--out", "it"], tmp_path)
    assert {path: path.read_bytes() for path in files} == files
    assert_same(tmp_path / "undisturbed", tmp_path / "it")
