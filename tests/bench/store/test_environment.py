"""A manifest names the commit of the checkout; dirty means changed files that git knows, results aside."""

import subprocess
from pathlib import Path

import pytest

from l2obench.bench.store import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commit_and_changes_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "environment.py"
    code.touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cell").touch()
    monkeypatch.setattr(environment, "__file__", str(code))
    assert environment.commit() == {"commit": None, "dirty": None}
    git(tmp_path, "init")
    assert environment.commit()["commit"] is None
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "a # first one")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").touch()
    (tmp_path / "results" / "cell").write_text("computed anew")
    assert environment.commit() == {"commit": head, "dirty": False}
    code.write_text("changed")
    assert environment.commit() == {"commit": head, "dirty": True}
