"""Text from outside is data in every output: no script, no formula, no escape code, no half of a surrogate pair."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.page.build import write_report
from tests.hostile.conftest import Command

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
WORDS = [ESCAPE, "\u202egnp.exe", "\x9b31m", " =cmd|'/C calc'!A1", "</script><script>alert(1)</script>", "constructor"]
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def hostile_run(good_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose tasks, optimizers and reasons are the words."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    run = RunFolder(folder)
    run.begin({"suite": ESCAPE, "description": WORDS[4], "command": ESCAPE, "environment": {"commit": WORDS[4]}})
    (path,) = (good_run / "cells").glob("*default*.parquet")
    rows = pq.read_table(path).to_pylist()
    for number, word in enumerate(WORDS):
        changes = {"task": f"quadratic {word}", "optimizer": word, "checkpoint_sha256": word}
        failed = {"status": "error", "reason": word, "loss": None, "final_loss": None}
        run.write("cells", f"{number}", {}, [row | changes | (failed if number % 2 else {}) for row in rows])
    return folder


class Scripts(HTMLParser):
    """The elements of a page, and whether one has a handler of an event or an address that is a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside, self.bad = "", list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        for name, value in attrs:
            if name.startswith("on") or (name in ("href", "src") and str(value).strip().startswith("javascript")):
                self.bad.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self.inside == "script" and "alert(1)" in data:
            self.bad.append("script")


def test_every_file_of_a_report(hostile_run: Path, tmp_path: Path) -> None:
    write_report([hostile_run], tmp_path / "bad")
    assert Scripts((tmp_path / "bad" / "index.html").read_text(encoding="utf-8")).bad == []
    for path in (tmp_path / "bad").rglob("*"):
        if path.suffix in (".csv", ".md", ".tex", ".html"):
            text = path.read_text(encoding="utf-8")
            text = re.sub("<script.*?</script>", "", text, flags=re.DOTALL) if path.suffix == ".html" else text
            assert not CONTROLS.search(text), path
            # In CSV and LaTeX it is a name like any other.
            assert path.suffix in (".csv", ".tex") or "<script>alert" not in text, path
        if path.suffix == ".csv":
            for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
                assert not [cell for cell in row if cell.lstrip().startswith(("=", "@")) and not cell.startswith("'")]


def test_the_terminal(command: Command, hostile_run: Path) -> None:
    for arguments in (["info", str(hostile_run)], ["check", str(hostile_run), str(hostile_run)]):
        answer = command(*arguments)
        assert not CONTROLS.search(answer.err)
    answer = command("check", str(hostile_run), str(hostile_run), "--json")
    names = {row["optimizer"] for row in json.loads(answer.out)["cells"]}
    assert ESCAPE in names  # the data are not changed, only written otherwise
    for word in WORDS:
        assert not CONTROLS.search(command("run", "-t", "quadratic", "-o", word).err)


def test_a_real_terminal(hostile_run: Path, tmp_path: Path) -> None:
    """Bytes that reach a terminal, of which the command's own colours are taken out."""
    main, side = pty.openpty()
    arguments = [sys.executable, "-m", "l2obench", "check", str(hostile_run), str(hostile_run)]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=side, stderr=side, stdin=subprocess.DEVNULL) as process:
        os.close(side)
        shown = b""
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # the other side is closed
                break
            shown += part
        process.wait()
    os.close(main)
    text = re.sub("\x1b\\[[0-9;]*m", "", shown.decode("utf-8")).replace("\r", "")
    assert "6 cells compared" in text
    assert not CONTROLS.search(text)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "ascii"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "C"),
        ({"LC_ALL": "tr_TR.UTF-8", "HOME": None, "PYTHONUTF8": "0"}, "no home"),
    ],
    ids=["ascii", "C", "turkish-without-home"],
)
def test_any_locale_and_no_home(hostile_run: Path, tmp_path: Path, variables: dict[str, str | None], name: str) -> None:
    environment = {key: value for key, value in (os.environ | variables).items() if value is not None}
    (tmp_path / "größe.py").write_text(
        "from l2obench.optimizers.designed.sgd import SGD\nclass Größe(SGD):\n    '''×'''\n", encoding="utf-8"
    )
    script = (
        "import sys\nfrom l2obench.bench.commands.cli import main\nrun = sys.argv[1]\n"
        "plugin = './gr\\u00f6\\u00dfe.py:Gr\\u00f6\\u00dfe'\n"
        "for given in (['info', run], ['info', plugin], ['list'], ['check', run, run]):\n"
        "    sys.argv = ['l2obench', *given]\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        print('code', end.code)\n"
    )
    command = [sys.executable, "-c", script, str(hostile_run)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    codes = re.findall(rb"code (\d+)", done.stdout)
    assert codes[0] == b"0"
    assert codes[2] == b"0"


PLUGIN = """
from l2obench.optimizers.designed.sgd import SGD
class Mine(SGD):
    def update_tensor(self, grad, state, param):
        raise ValueError('\\udcff \\x1b[2J \\ud83d')
"""


def test_a_reason_that_utf8_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    values = {"optimizers": ["./half.py:Mine"], "tasks": [{"task": "quadratic[horizon=3]"}], "seeds": 1}
    cells = make_suite("t", values | {"tracks": ["default"]}).cells()
    Runner(RunFolder("it"), cells, RunOptions(timing=False)).execute({"suite": "t"})
    (reason,) = RunFolder("it").read("cells")["reason"]
    assert reason == "ValueError: \\udcff \x1b[2J \\ud83d"


def test_names_that_are_no_unicode(command: Command, tmp_path: Path) -> None:
    Path(os.fsdecode(b"\xff.py")).write_text("class Mine: pass\n")
    for arguments in (
        ["run", "-t", "quadratic", "-o", "./\udcff.py:Mine"],
        ["run", "\udcff.toml"],
        ["report", "\udcff"],
        ["check", "\udcff", "\udcff"],
        ["info", "\udcff"],
    ):
        command(*arguments).is_one_line("\\udcff")
