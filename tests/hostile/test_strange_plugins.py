"""Plugins that exit, print, hang or lie when they are imported: one line, and the command's answer stays its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from l2obench.bench.config import registry
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


def test_an_import_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "IMPORT_SECONDS", 0.2)
    (tmp_path / "hangs.py").write_text(
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except Exception:\n        pass\n"
    )
    with pytest.raises(registry.UnknownName, match=r"must be imported and made within 0\.2 s"):
        registry.optimizer_registry().create("./hangs.py:Mine")


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
