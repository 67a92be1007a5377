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


def run_workflow(folder: Path, options: str = SHORT, base: str = "main") -> Job:
    """Run the shell steps, each in a bash of its own that ends at the first error.

    Args:
        folder: the calling repository, checked out at the pull request.
        options: the input of that name.
        base: the target branch.
    """
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8"))["jobs"].values()
    temporary = folder / "runner"
    temporary.mkdir()
    (temporary / "output").touch()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BASE_REF": base,
        "CHECKPOINT": CHECKPOINT,
        "OPTIONS": options,
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


def test_too_few_seeds_for_a_verdict_are_a_warning(repository: Path) -> None:
    job = run_workflow(repository, "-t quadratic[horizon=20] --seeds 2")
    assert job.code == 0, job.output
    assert "::warning::The check is inconclusive" in job.output


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
