"""The reusable workflow that gates a checkpoint: its shell steps, run as a runner of GitHub runs them."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from tests.conftest import ROOT

CHECKPOINT = "model.safetensors"
SHORT = "-t quadratic[horizon=20] --seeds 12"
FOUND = "steps.old.outputs.found == 'true'"
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]


@dataclass(frozen=True)
class Job:
    """What became of the job."""

    code: int
    """Exit code of the step that ended it."""
    output: str
    folder: Path


def run_workflow(folder: Path, base: str = "main", programs: Path = Path(sys.executable).parent) -> Job:
    """Run the shell steps, each in a bash of its own that ends at the first error.

    Args:
        folder: the calling repository, checked out at the pull request.
        base: the target branch.
        programs: where `l2obench` is.
    """
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8"))["jobs"].values()
    temporary = folder / "runner"
    temporary.mkdir()
    (temporary / "output").touch()
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "BASE_REF": base,
        "CHECKPOINT": CHECKPOINT,
        "OPTIONS": SHORT,
        "RUNNER_TEMP": str(temporary),
        "GITHUB_OUTPUT": str(temporary / "output"),
        "GITHUB_STEP_SUMMARY": str(temporary / "summary.md"),
    }
    output = ""
    for step in job["steps"]:
        # l2obench is installed here already, and actions need a runner.
        if "run" not in step or step["run"].startswith("pip install"):
            continue
        assert step.get("if", FOUND) == FOUND
        if "if" in step and "found=true" not in (temporary / "output").read_text(encoding="utf-8"):
            continue
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        output += done.stdout + done.stderr
        if done.returncode:
            return Job(done.returncode, output, temporary)
    return Job(0, output, temporary)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that calls the workflow. Its target branch holds a trained optimizer."""
    shutil.copy(ROOT / "optimizers" / "checkpoints" / "quadratic.safetensors", tmp_path / CHECKPOINT)
    subprocess.run([*GIT, "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run([*GIT, "add", "."], cwd=tmp_path, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "-m", "model"], cwd=tmp_path, check=True)
    subprocess.run([*GIT, "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=tmp_path, check=True)
    return tmp_path


def untrain(path: Path) -> None:
    """Set all meta-parameters to zero, and keep what the file says of itself."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) * 0 for name in file.keys()}  # noqa: SIM118 - no mapping
        about = file.metadata()
    save_file(tensors, path, about)


def test_a_worse_checkpoint_fails_the_pull_request(repository: Path) -> None:
    untrain(repository / CHECKPOINT)
    job = run_workflow(repository)
    assert job.code == 1, job.output
    assert "REGRESSION" in job.output
    assert "REGRESSION" in (job.folder / "summary.md").read_text(encoding="utf-8")
    assert "<failure" in (job.folder / "gate.xml").read_text(encoding="utf-8")


def test_the_same_checkpoint_passes(repository: Path) -> None:
    job = run_workflow(repository)
    assert job.code == 0, job.output
    assert "1 of 1 cells compared" in (job.folder / "summary.md").read_text(encoding="utf-8")
    assert (job.folder / "gate.xml").exists()


@pytest.mark.parametrize(("verdict", "code"), [(5, 0), (1, 1), (4, 4)])
def test_only_an_inconclusive_check_becomes_a_warning(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, verdict: int, code: int
) -> None:
    """With a command in place of l2obench that ends as a check does."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "l2obench").write_text(f"#!/bin/sh\nexit {verdict}\n", encoding="utf-8")
    (programs / "l2obench").chmod(0o755)
    job = run_workflow(repository, programs=programs)
    assert job.code == code
    assert ("::warning::The check is inconclusive" in job.output) == (verdict == 5)


def test_a_checkpoint_that_is_new_passes_with_a_notice(repository: Path) -> None:
    empty = subprocess.run([*GIT, "mktree"], cwd=repository, input=b"", capture_output=True, check=True).stdout
    commit = [*GIT, "commit-tree", "-m", "before", empty.decode().strip()]
    before = subprocess.run(commit, cwd=repository, capture_output=True, check=True).stdout.decode().strip()
    subprocess.run([*GIT, "update-ref", "refs/remotes/origin/main", before], cwd=repository, check=True)
    job = run_workflow(repository)
    assert job.code == 0, job.output
    assert "::notice::model.safetensors is new in this pull request" in job.output
    assert not (job.folder / "summary.md").exists()


def test_a_push_without_a_target_branch_says_what_is_missing(repository: Path) -> None:
    job = run_workflow(repository, base="")
    assert job.code != 0
    assert "call this workflow on pull_request" in job.output
