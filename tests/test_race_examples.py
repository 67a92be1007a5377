"""The two examples of docs/showcase.md run as commands, with fewer steps than on the page."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from l2obench.optimizers.learned.celo2 import Celo2
from l2obench.optimizers.learned.checkpoint import encode_checkpoint
from tests.markdown import ROOT

EXAMPLES = ROOT / "docs" / "examples"


def race(script: str, folder: Path, *options: str) -> str:
    command = [sys.executable, str(EXAMPLES / script), "--steps", "6", *options]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "MPLBACKEND": "agg"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("script", "figure"), [("char_gpt.py", "char-gpt.png"), ("small_resnet.py", "small-resnet.png")]
)
def test_four_optimizers_train_a_model_in_a_plain_loop(script: str, figure: str, tmp_path: Path) -> None:
    rule = Celo2().initialised(torch.Generator().manual_seed(0))
    (tmp_path / "celo2.safetensors").write_bytes(encode_checkpoint(rule.name, {}, {}, rule.meta_parameters))
    lines = race(script, tmp_path).splitlines()
    losses = {line.split(",")[0].split()[0]: float(line.split("held-out loss")[1].split()[0]) for line in lines[:-1]}
    assert losses.keys() == {"AdamW", "Muon", "general", "Celo2"}
    assert all(0 < loss < float("inf") for loss in losses.values())
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")


def test_two_seeds_give_a_row_each_and_celo2_without_its_weights_is_left_out(tmp_path: Path) -> None:
    printed = race("small_resnet.py", tmp_path, "--steps", "2", "--seeds", "2", "--rows", "rows.csv")
    assert "Celo2 is left out: celo2.safetensors does not exist" in printed
    rows = list(csv.DictReader((tmp_path / "rows.csv").open(encoding="utf-8")))
    assert [(row["optimizer"], row["seed"]) for row in rows] == [
        (name, seed) for name in ("AdamW", "Muon", "general") for seed in ("0", "1")
    ]
    first, second = (float(row["heldout_loss"]) for row in rows[2:4])
    assert first != second
    muon = next(line for line in printed.splitlines() if line.startswith("Muon"))
    assert float(muon.split("held-out loss")[1].split()[0]) == pytest.approx((first + second) / 2, abs=1e-4)
