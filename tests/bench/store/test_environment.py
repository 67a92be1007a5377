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
    code = tmp_path / "bench" / "store" / "environment.py"
    code.parent.mkdir(parents=True)
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


@pytest.mark.parametrize("tracked", [False, True])
def test_the_commit_of_the_users_repository_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool
) -> None:
    """A .venv inside it, and even one that was committed."""
    code = tmp_path / ".venv" / "lib" / "site-packages" / "l2obench" / "bench" / "store" / "environment.py"
    code.parent.mkdir(parents=True)
    code.touch()
    (tmp_path / "thesis.tex").touch()
    git(tmp_path, "init")
    git(tmp_path, "add", "thesis.tex", *([".venv"] if tracked else []))
    git(tmp_path, "commit", "--message", "the user's")
    monkeypatch.setattr(environment, "__file__", str(code))
    monkeypatch.setattr(environment, "_installed_commit", lambda: None)
    assert environment.commit() == {"commit": None, "dirty": None}


def test_the_commit_that_pip_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noted:
        def read_text(self, name: str) -> str:
            assert name == "direct_url.json"
            return '{"url": "https://example.org", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}}'

    monkeypatch.setattr(environment.importlib.metadata, "distribution", lambda _: Noted())  # type: ignore[attr-defined]
    assert environment._installed_commit() == "0a1b"
