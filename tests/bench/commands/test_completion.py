"""Completion as a shell asks for it: real processes, and the script that `--install-completion` writes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

L2OBENCH = [sys.executable, "-m", "l2obench"]


def offered(words: list[str], folder: Path) -> list[str]:
    """What bash is offered for the last of the words."""
    asked = {"COMP_WORDS": " ".join(["l2obench", *words]), "COMP_CWORD": str(len(words))}
    environment = os.environ | asked | {"_L2OBENCH_COMPLETE": "complete_bash"}
    done = subprocess.run(L2OBENCH, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["trai"], {"train", "train-suite", "train-start"}),
        (["run", "paper-m"], {"paper-mnist"}),
        (["run", "-t", "mnist"], {"mnist-mlp"}),
        (["run", "-o", "lst"], {"lstm", "lstm[checkpoint=mnist]"}),
        (["train", "lstm", "--recipe", "pap"], {"paper"}),
        (["report", "mo"], {"monday"}),
        (["check", "monday", "mo"], {"monday"}),
        (["info", "qu"], {"quick", "quadratic"}),
        (["updates", "-t", "quad"], {"quadratic"}),
        (["updates", "-t", "quadratic", "-o", "ada"], {"adam"}),
        (["train-start", "ma"], {"maml"}),
        (["train-start", "maml", "-t", "sinu"], {"sinusoid"}),
        (["train", "lst"], {"lstm"}),
        (["test-plugin", "quad"], {"quadratic"}),
        (["targets", "mo"], {"monday"}),
        (["check", "--against", "qua"], {"quadratic"}),
        (["run", "--tune", "ha"], {"halving"}),
        (["list", "che"], {"checkpoints"}),
        (["prepare", "cif"], {"cifar10"}),
    ],
)
def test_names_complete(words: list[str], some: set[str], tmp_path: Path) -> None:
    (tmp_path / "results" / "monday").mkdir(parents=True)
    (tmp_path / "results" / "monday" / "manifest.json").touch()
    found = offered(words, tmp_path)
    assert some <= set(found)
    assert all(name.startswith(words[-1]) for name in found)


def test_completion_imports_no_engine(tmp_path: Path) -> None:
    code = "import sys\nfrom l2obench.bench.commands.completion import complete_name\nassert complete_name('quick')\n"
    code += "assert not {'torch', 'pandas', 'pydantic', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_completion_installs_and_works_in_bash(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [*L2OBENCH, "--install-completion", "bash"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert "l2obench" in (tmp_path / ".bashrc").read_text()
    program = tmp_path / "l2obench"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(L2OBENCH)} "$@"\n')
    program.chmod(0o755)
    script = f"""
        source {tmp_path}/.bash_completions/l2obench.sh
        COMP_WORDS=(l2obench run qui) COMP_CWORD=2
        _l2obench_completion {program}
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["quick"], done.stderr
