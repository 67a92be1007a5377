"""The plugin keeps l2obench's contract, and does what it says."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from l2obench_plugin_template.rosenbrock import Rosenbrock
from l2obench_plugin_template.signum import Signum


def l2obench(*arguments: str, folder: Path) -> str:
    command = shutil.which("l2obench")
    assert command is not None, "l2obench is not installed beside the plugin"
    done = subprocess.run([command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["rosenbrock", "signum"])
def test_the_contract_is_kept(name: str, tmp_path: Path) -> None:
    assert "requirements met" in l2obench("test-plugin", name, folder=tmp_path)


def test_both_run_by_name(tmp_path: Path) -> None:
    l2obench("run", "-t", "rosenbrock[horizon=20]", "-o", "signum", "-o", "adam", "--seeds", "2", folder=tmp_path)


def test_the_minimum_is_where_rosenbrock_says() -> None:
    task = Rosenbrock(dim=3)
    rotation = task.sample(torch.Generator().manual_seed(0)).data["rotation"]
    loss = task.loss({"theta": rotation.T @ torch.ones(3)}, {"rotation": rotation})
    assert loss.item() == pytest.approx(0, abs=1e-8)


def test_an_update_is_the_sign_of_the_momentum() -> None:
    rule, params = Signum(lr=0.1), {"x": torch.zeros(3)}
    updates, _ = rule.update({"x": torch.tensor([2.0, -3.0, 0.0])}, rule.init(params), params)
    assert updates["x"].tolist() == pytest.approx([-0.1, 0.1, 0.0])
