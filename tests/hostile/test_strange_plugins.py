"""Plugins that exit, print, hang or lie when they are imported: one line, and the command's answer stays its own."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from l2obench.bench.config import foreign_code
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from tests.hostile.conftest import Command

SGD = "from l2obench.optimizers.designed.sgd import SGD\n"
FINE = f"{SGD}class Mine(SGD):\n    '''Fine.'''\n"


@pytest.mark.parametrize("name", ["./{}.py:Mine", "{}.Mine", "{}:Mine"], ids=["path", "dots", "colon"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("raise GeneratorExit('x')\n", "GeneratorExit: x"),
        ("raise BaseException('\\udcff \\x1b[2J')\n", "BaseException"),
        ("def f():\n    f()\nf()\n", "RecursionError"),
        ("raise MemoryError\n", "MemoryError"),
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        ("Mine = 3\n", "must be a subclass of"),
    ],
    ids=["exit", "interrupt", "generator", "base", "recursion", "memory", "missing", "number"],
)
def test_an_import_that_fails(command: Command, tmp_path: Path, name: str, source: str, message: str) -> None:
    module = f"strange{abs(hash((name, source)))}"
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    for arguments in (["info", name.format(module)], ["run", "-t", "quadratic", "-o", name.format(module)]):
        answer = command(*arguments)
        answer.is_one_line(message)
        assert "\x1b" not in answer.err


@pytest.mark.parametrize("place", ["def __init__(self, **given):", "def model_post_init(self, context):"])
@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "ValueError"])
def test_a_class_that_cannot_be_made(command: Command, tmp_path: Path, place: str, error: str) -> None:
    (tmp_path / "made.py").write_text(f"{SGD}class Mine(SGD):\n    {place}\n        raise {error}('no')\n")
    command("run", "-t", "quadratic", "-o", "./made.py:Mine").is_one_line("no")


DEATHS = {
    "exit": ("os._exit(0)", "with exit code 0"),
    "exit-7": ("os._exit(7)", "with exit code 7"),
    "abort": ("os.abort()", "by signal SIGABRT"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "by signal SIGSEGV"),
    "killed": ("os.kill(os.getpid(), 9)", "by signal SIGKILL"),
    "group": ("os.killpg(0, 15)", "by signal SIGTERM"),
    "other program": ("os.execv('/bin/false', ['false'])", "with exit code 1"),
    "stopped by an alarm": ("import signal; signal.alarm(1); signal.pause()", "by signal SIGALRM"),
}


@pytest.mark.parametrize("name", ["./{}.py:Mine", "{}:Mine"], ids=["path", "colon"])
@pytest.mark.parametrize("death", DEATHS)
def test_an_import_that_ends_its_process(command: Command, tmp_path: Path, death: str, name: str) -> None:
    code, message = DEATHS[death]
    module = f"dies_{abs(hash((death, name)))}"
    (tmp_path / f"{module}.py").write_text(f"import os\n{code}\n{FINE}")
    command("run", "-t", "quadratic", "-o", name.format(module)).is_one_line("its code ended its process", message)


@pytest.mark.parametrize("death", ["exit", "segfault"])
def test_a_class_that_ends_its_process_when_made(command: Command, tmp_path: Path, death: str) -> None:
    code, message = DEATHS[death]
    source = f"import os\n{SGD}class Mine(SGD):\n    def model_post_init(self, context):\n        {code}\n"
    (tmp_path / f"made_{death}.py").write_text(source)
    command("info", f"./made_{death}.py:Mine").is_one_line("its code ended its process", message)


def test_a_trial_leaves_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy's own child is ended with it; the one that this process's import starts is the plugin's business."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "forks.py").write_text(
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "with open('children', 'a') as file:\n    print(child.pid, file=file)\n" + FINE
    )
    optimizer_registry().create("./forks.py:Mine")
    copied, own = map(int, (tmp_path / "children").read_text().split())
    assert psutil.pid_exists(own)
    psutil.Process(own).kill()
    psutil.wait_procs([psutil.Process(own)], timeout=60)
    assert not psutil.pid_exists(copied) or psutil.Process(copied).status() == psutil.STATUS_ZOMBIE


def test_an_import_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(foreign_code, "IMPORT_SECONDS", 0.2)
    (tmp_path / "hangs.py").write_text(
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except Exception:\n        pass\n"
    )
    with pytest.raises(foreign_code.PluginEnded, match=r"must be imported and made within 0\.2 s"):
        optimizer_registry().create("./hangs.py:Mine")


def test_what_a_module_prints_is_no_part_of_the_answer(command: Command, tmp_path: Path) -> None:
    text = f"print('hello')\nimport sys\nsys.stdout.write('again')\n{FINE}    def model_post_init(self, context):\n"
    (tmp_path / "prints.py").write_text(f"{text}        print('made')\n")
    answer = command("info", "./prints.py:Mine", "--json")
    assert answer.code == 0
    assert "./prints.py:Mine" in json.dumps(json.loads(answer.out))
    assert "hello" in answer.err


def test_what_a_worker_prints_is_no_part_of_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process apart shares standard output with the command, whose `--json` somebody reads."""
    (tmp_path / "loud.py").write_text(
        f"{FINE}    def update_tensor(self, grad, state, param):\n        print('step')\n        return -grad, state\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "-t", "quadratic[horizon=3]", "-o", "./loud.py:Mine", "--seeds", "2", "--no-timing", "--json"]
    done = subprocess.run([sys.executable, "-m", "l2obench", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["computed"] >= 1


EXITS = f"""
import sys
{SGD}

class Exits(SGD):
    def update_tensor(self, grad, state, param):
        sys.exit(0)


class Interrupts(SGD):
    def update_tensor(self, grad, state, param):
        raise KeyboardInterrupt
"""


def test_exits_in_a_job_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exits.py").write_text(EXITS)
    monkeypatch.chdir(tmp_path)
    rules = ["./exits.py:Exits", "./exits.py:Interrupts", "sgd"]
    values = {"optimizers": rules, "tasks": [{"task": "quadratic[horizon=3]"}], "seeds": 2, "tracks": ["default"]}
    Runner(RunFolder("it"), make_suite("t", values).cells(), RunOptions(timing=False)).execute({"suite": "t"})
    frame = RunFolder("it").read("cells").set_index("optimizer")
    assert set(frame.loc["sgd", "status"]) == {"ok"}
    assert set(frame.loc["./exits.py:Exits", "reason"]) == {"SystemExit: 0"}
    assert set(frame.loc["./exits.py:Interrupts", "reason"]) == {"KeyboardInterrupt: "}
    assert "Traceback" not in capfd.readouterr().err
