"""Plugins that change the process, start what outlives them, or leave files: the command and its numbers stay."""

import gc
import json
import locale
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from l2obench.bench.commands.process import install_signal_handlers, raise_terminated
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.store.run_folder import RunFolder
from tests.hostile.conftest import Command
from tests.processes import losses

SGD = "from l2obench.optimizers.designed.sgd import SGD\n"
FINE = f"{SGD}class Mine(SGD):\n    pass\n"
RUDE = """
import gc, locale, os, signal, socket, sys, threading
import numpy as np
import torch

def rude():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    os.chdir("/")
    os.umask(0o777)
    locale.setlocale(locale.LC_ALL, "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8")
    sys.path.insert(0, "/nowhere")
    sys.path.pop(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    sys.excepthook = threading.excepthook = print
    sys.setrecursionlimit(4321)
    gc.disable()
    socket.setdefaulttimeout(0.5)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    np.seterr(all="raise")
    os.environ["OMP_NUM_THREADS"] = "7"
    os.environ.pop("HOME", None)
"""
AT_IMPORT = f"{RUDE}\nrude()\n{FINE}"
WHEN_MADE = f"{RUDE}\n{SGD}class Mine(SGD):\n    def model_post_init(self, context):\n        rude()\n"
IN_A_STEP = (
    f"{RUDE}\n{SGD}class Mine(SGD):\n    def update_tensor(self, grad, state, param):\n"
    "        rude()\n        return -self.lr * grad.float(), state\n"
)
TASK = "quadratic[dim=3,horizon=5]"


def settings() -> dict[str, Any]:
    umask = os.umask(0o022)
    os.umask(umask)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)
    return {
        "signals": [signal.getsignal(number) for number in signals],
        "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "folder": os.getcwd(),
        "umask": umask,
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": (sys.stdout, sys.stderr, sys.excepthook, threading.excepthook),
        "limits": (sys.getrecursionlimit(), gc.isenabled(), socket.getdefaulttimeout()),
        "torch": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy": np.geterr(),
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize("source", [AT_IMPORT, WHEN_MADE], ids=["import", "made"])
def test_no_setting_of_the_process_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    # What such a plugin adds stays, so that of another test may be there.
    path = [folder for folder in sys.path if folder != "/nowhere"]
    monkeypatch.setattr(sys, "path", list(path))
    (tmp_path / "rude.py").write_text(source)
    before = settings()
    optimizer_registry().create("./rude.py:Mine")
    assert settings() == before
    assert sys.path[: len(path)] == path
    assert set(sys.path) - set(path) == {"/nowhere", str(tmp_path)}


def test_a_rude_step_changes_no_row_of_others(command: Command, tmp_path: Path) -> None:
    """In the same process of plugins, before and after a neighbour that is not rude."""
    (tmp_path / "rude.py").write_text(IN_A_STEP)
    (tmp_path / "fine.py").write_text(FINE)
    common = ["run", "-t", TASK, "--seeds", "2", "--no-timing", "--tune", "off"]
    assert command(*common, "-o", "sgd", "-o", "./fine.py:Mine", "--out", "one").code == 0
    rude = command(*common, "-o", "./rude.py:Mine", "-o", "sgd", "-o", "./fine.py:Mine", "--out", "two")
    assert rude.code == 0, rude.err
    assert command(*common, "-o", "sgd", "-o", "./fine.py:Mine", "--out", "two").code == 0
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    for key, values in one.items():
        np.testing.assert_array_equal(values, two[key])
    assert len(two) == len(one) + 2
    assert all((tmp_path / "two" / "cells").stat().st_mode & bit for bit in (0o400, 0o100))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_ours_after_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rude.py").write_text(AT_IMPORT)
    before = signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)
    try:
        install_signal_handlers()
        optimizer_registry().create("./rude.py:Mine")
        assert signal.getsignal(number) is raise_terminated
    finally:
        signal.signal(number, before)


LEAVES = {
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), name='sleepy').start()\n",
    "daemonic thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n",
    "pool": "from concurrent.futures import ThreadPoolExecutor\nPOOL = ThreadPoolExecutor(2)\nPOOL.submit(int)\n",
    "process": "import subprocess, sys\n"
    "CHILD = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(CHILD.pid, file=open('left', 'w'))\n",
    "multiprocessing": "import multiprocessing, time\n"
    "CHILD = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\nCHILD.start()\n"
    "print(CHILD.pid, file=open('left', 'w'))\n",
    "closed streams": "import os, sys\nsys.stdout.close()\nsys.stderr.close()\nos.close(1)\nos.close(2)\n",
    "loud child": "import subprocess\nsubprocess.run(['echo', 'not JSON'])\n",
}
SAID = {
    "thread": "a plugin left 1 thread running, now ended: sleepy",
    "process": "a plugin left 1 process running, now ended: ",
    "multiprocessing": "a plugin left 1 process running, now ended: ",
}


@pytest.mark.parametrize("what", LEAVES)
def test_what_outlives_the_import_does_not_outlive_the_command(tmp_path: Path, what: str) -> None:
    """The pipes of a command are closed, and its reader goes on, only once nothing that has them is left."""
    (tmp_path / "leaves.py").write_text(LEAVES[what] + FINE)
    (tmp_path / "leaves.py").chmod(0o644)
    arguments = ["info", "./leaves.py:Mine", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "l2obench", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    lines = [line for line in done.stderr.splitlines() if line.startswith("l2obench: ")]
    assert [line.partition(SAID[what])[1] for line in lines] == [SAID[what]] if what in SAID else lines == []
    assert "Traceback" not in done.stderr
    if (tmp_path / "left").exists():
        assert not psutil.pid_exists(int((tmp_path / "left").read_text()))


def test_a_mistake_and_a_process_are_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "leaves_too.py").write_text(LEAVES["process"] + FINE)
    command("info", "./leaves_too.py:Other").is_one_line("no class is called 'Other'")
    assert not psutil.pid_exists(int((tmp_path / "left").read_text()))


LITTER = f"""
import pathlib
{SGD}

def litter():
    for folder in (".", "it", "it/cells", "it/tuning", "it/timing", "it/new"):
        here = pathlib.Path(folder)
        here.mkdir(parents=True, exist_ok=True)
        for name in ("junk.txt", "core", ".hidden", "x.part", "notes.parquet.bak", "a\\nb", "\\udcff.log"):
            (here / name).write_bytes(b"0" * 100)
        (here / "folder").mkdir(exist_ok=True)
        if not (here / "link").is_symlink():
            (here / "link").symlink_to("nowhere")


class Mine(SGD):
    def update_tensor(self, grad, state, param):
        litter()
        return super().update_tensor(grad, state, param)
"""


def test_litter_in_the_folders_is_skipped(command: Command, tmp_path: Path) -> None:
    (tmp_path / "litter.py").write_text(LITTER)
    common = ["run", "-t", TASK, "--seeds", "2", "--no-timing", "--tune", "off", "-o", "sgd"]
    assert command(*common, "--out", "clean").code == 0
    assert command(*common, "--out", "it").code == 0
    first = command(*common, "-o", "./litter.py:Mine", "--out", "it")
    assert first.code == 0, first.err
    again = command(*common, "-o", "./litter.py:Mine", "--out", "it", "--json")
    assert json.loads(again.out)["computed"] == 0, again.err
    assert (tmp_path / "it" / "cells" / "junk.txt").exists()
    for arguments in (["report", "it"], ["check", "it", "it"], ["info", "it"]):
        answer = command(*arguments)
        assert answer.code in (0, 5), (arguments, answer.err)
        assert "Traceback" not in answer.err
    clean, littered = (
        RunFolder(name).read("cells").set_index(["optimizer", "seed"])["loss"] for name in ("clean", "it")
    )
    for key, values in clean.items():
        np.testing.assert_array_equal(values, littered[key])


WORKERS = """
import torch
from torch.utils.data import DataLoader, TensorDataset
from l2obench.tasks.quadratic import Quadratic


class Loads(Quadratic):
    def sample(self, generator):
        values = torch.arange(12.0)
        loader = DataLoader(TensorDataset(values), batch_size=4, num_workers=2, generator=generator)
        assert sum(float(batch.sum()) for (batch,) in loader) == 66
        return super().sample(generator)
"""


def test_a_task_whose_loader_has_workers(command: Command, tmp_path: Path) -> None:
    (tmp_path / "loads.py").write_text(WORKERS)
    identity = "./loads.py:Loads[dim=3,horizon=5]"
    answer = command("run", "-t", identity, "-o", "sgd", "--seeds", "2", "--no-timing", "--tune", "off")
    assert answer.code == 0, answer.err
