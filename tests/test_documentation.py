"""The documentation does what it says: its files, its commands and its snippets are run as a reader would."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from l2obench.tasks import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "file"), [("add-a-task", "ridge.py"), ("add-an-optimizer", "signum.py")])
def test_the_examples_run_as_they_stand(tmp_path: Path, page: str, file: str) -> None:
    path = ROOT / "docs" / f"{page}.md"
    assert f"`{file}`" in path.read_text(encoding="utf-8")
    first, *others = blocks(path, "python")
    (tmp_path / file).write_text(first, encoding="utf-8")
    (commands,) = blocks(path, "sh")
    script = f'l2obench() {{ "{Path(sys.executable).parent / "l2obench"}" "$@"; }}\nset -e\n{commands}'
    run(["bash", "-c", script], tmp_path)
    (cells,) = tmp_path.glob("results/*/cells")
    assert set(pd.read_parquet(cells)["status"]) == {"ok"}
    assert list(tmp_path.glob("results/*/report/index.html"))
    for snippet in others:
        run([sys.executable, "-c", snippet], tmp_path)


def test_the_readmes_five_lines_train_a_module(tmp_path: Path) -> None:
    (snippet,) = blocks(ROOT / "README.md", "python")
    run([sys.executable, "-c", snippet], tmp_path)


def test_the_page_of_tasks_names_every_family() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` (?:\|.*){4}\|$", (ROOT / "docs" / "tasks.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(rows) == set(FAMILIES)


@pytest.mark.slow
def test_the_workflow_gates_a_checkpoint_in_another_repository(tmp_path: Path) -> None:
    """Its shell steps, in a repository whose pull request changes nothing; then the comparison of two runs."""
    page = ROOT / "docs" / "ci.md"
    (workflow,) = blocks(page, "yaml")
    show = re.findall(r"run: (git show .*)", workflow)
    check = [textwrap.dedent(block) for block in re.findall(r"run: \|\n((?: {10}.*\n)+)", workflow)]
    assert len(show) == len(check) == 1
    shutil.copy(ROOT / "optimizers" / "checkpoints" / "quadratic.safetensors", tmp_path / "model.safetensors")
    git = "git -c user.name=a -c user.email=a@example.org"
    script = f"""set -e
l2obench() {{ "{Path(sys.executable).parent / "l2obench"}" "$@"; }}
git init --quiet . && git add . && {git} commit --quiet -m model && git update-ref refs/remotes/origin/main HEAD
export BASE_REF=main RUNNER_TEMP="$PWD" GITHUB_STEP_SUMMARY="$PWD/summary.md"
"""
    run(["bash", "-c", script + "\n".join([*show, *check, *blocks(page, "sh")])], tmp_path)
    assert "2 of 2 cells compared (2 same)" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert (tmp_path / "gate.xml").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets
