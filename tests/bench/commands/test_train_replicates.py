"""`l2obench train --replicates`: trainings of one recipe that differ by their seeds, each in a folder of its own."""

import sys
from pathlib import Path

import pytest

from l2obench.bench.commands.cli import main
from l2obench.optimizers.learned.checkpoint import read_checkpoint

TRAIN = ["train", "lstm[hidden=4,layers=1,output_scale=1,preprocessing=none]", "-t", "quadratic[dim=3,horizon=20]"]
TRAIN += ["--functions", "4", "--trajectories", "2", "--validation-functions", "4", "--validate-every", "1"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["l2obench", *TRAIN, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_replicates_are_trainings_with_seeds_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(monkeypatch, "--replicates", "2", "--seed", "5", "--out", "many")
    folders = sorted(path.name for path in (tmp_path / "many").iterdir() if path.is_dir())
    assert folders == ["replicate-1", "replicate-2"]
    made = [read_checkpoint(str(tmp_path / "many" / name / "checkpoint.safetensors")) for name in folders]
    assert [checkpoint.recipe["seed"] for checkpoint in made] == [5, 6]
    assert made[0].sha256 != made[1].sha256
    run(monkeypatch, "--seed", "6", "--out", "one")
    alone = read_checkpoint(str(tmp_path / "one" / "checkpoint.safetensors"))
    assert all(bool((alone.tensors[name] == made[1].tensors[name]).all()) for name in alone.tensors)
    capsys.readouterr()
    run(monkeypatch, "--replicates", "2", "--seed", "5", "--out", "many")  # finished ones stay as they are
    assert capsys.readouterr().out.count("resuming at trajectory 2 of 2") == 2
