"""`l2obench run` and the commands that follow it: what they print, where they look, and what a machine reads."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from l2obench.api.locating import LONGEST_NAME, find_results, name_matrix
from l2obench.bench.commands.cli import main
from l2obench.bench.store.results_file import StoreError

RUN = ["run", "-t", "quadratic[dim=3,horizon=6]", "-o", "sgd", "--seeds", "2"]
Command = Callable[..., tuple[str, str]]
NAME = "quadratic-dim-3-horizon-6--sgd"


@pytest.fixture
def l2obench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Calls the command in an empty folder, and gives what it printed on stdout and on stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["l2obench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == code, printed
        return printed.out, printed.err

    return call


def test_a_run_ends_with_its_table_and_a_command_that_works(l2obench: Command, tmp_path: Path) -> None:
    output, _ = l2obench(*RUN, "--no-timing")
    assert output.startswith("Plan: 2 cells of 1 task and 1 optimizer, 24 steps of evaluation, ")
    assert "at least 1,380 steps to tune 1 cell" in output.splitlines()[0]
    assert "Final losses (no learned optimizer ran)" in output
    last = output.splitlines()[-1]
    assert last.startswith("2 of 2 cells computed in ")
    following = shlex.split(last.partition("Next: ")[2])
    assert following == ["l2obench", "report", f"results/{NAME}"]
    assert list((tmp_path / "results" / NAME / "timing").iterdir()) == []
    assert pd.read_parquet(tmp_path / "results" / NAME / "cells")["update_seconds"].isna().all()
    assert "Report written to" in l2obench(*following[1:])[0]
    page = (tmp_path / "results" / NAME / "report" / "index.html").read_text()
    assert "Step times were not measured on 1 of 1 tasks." in page
    found = json.loads(l2obench("report", NAME, "--json")[0])
    assert found["page"] == f"results/{NAME}/report/index.html"
    assert [row["optimizer"] for row in found["headline"]] == ["sgd", "sgd"]


def test_json_is_all_that_a_run_prints(l2obench: Command) -> None:
    found = json.loads(l2obench(*RUN, "--no-timing", "--json", "--out", "it")[0])
    assert (found["folder"], found["computed"], found["already_computed"]) == ("it", 2, 0)
    assert found["next"] == "l2obench report it"
    assert {row["track"] for row in found["headline"]} == {"default", "tuned"}
    again = json.loads(l2obench(*RUN, "--no-timing", "--json", "--out", "it")[0])
    assert (again["computed"], again["already_computed"]) == (0, 2)


@pytest.mark.parametrize("command", [["report", "quick"], ["check", "quick", "quick"]])
def test_what_is_not_found_says_where_was_looked(l2obench: Command, command: list[str]) -> None:
    _, errors = l2obench(*command, code=2)
    assert "quick is no run: neither quick nor results/quick exists" in errors
    assert errors.count("\n") == 1


def test_a_folder_that_exists_as_given_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "quick").mkdir(parents=True)
    assert find_results("quick") == Path("results/quick")
    (tmp_path / "quick").mkdir()
    assert find_results("quick") == Path("quick")
    with pytest.raises(StoreError, match="neither slow nor results/slow exists"):
        find_results("slow")


def test_a_run_without_suite_is_named_after_what_it_runs() -> None:
    assert name_matrix(["b", "a", "a"], ["adam"]) == name_matrix(["a", "b"], ["adam", "adam"]) == "a+b--adam"
    assert name_matrix(["./mine.py:Task"], ["adam"]) == "mine.py-Task--adam"
    many = [f"mnist-mlp[units={units}]" for units in range(10, 20)]
    names = {name_matrix(many[:count], ["adam"]) for count in (8, 9, 10)}
    assert len(names) == 3
    assert all(len(name) <= LONGEST_NAME for name in names)


def test_info_describes_whatever_has_a_name(l2obench: Command, tmp_path: Path) -> None:
    suite = json.loads(l2obench("info", "quick", "--json")[0])
    assert suite["kind"] == "suite"
    assert "quadratic" in suite["tasks"]
    assert "adam" in suite["optimizers"]
    assert "Also a recipe: l2obench info paper --kind recipe" in l2obench("info", "paper")[0]
    assert json.loads(l2obench("info", "paper", "--kind", "recipe", "--json")[0])["kind"] == "recipe"
    assert "quick is no recipe" in l2obench("info", "quick", "--kind", "recipe", code=2)[1]
    assert "Did you mean quick" in l2obench("info", "quik", code=2)[1]
    assert json.loads(l2obench("info", "adam", "--json")[0])["kind"] == "optimizer"
    assert json.loads(l2obench("info", "quadratic", "--json")[0])["also"] == ["optimizer"]
    l2obench(*RUN, "--no-timing")
    for given in (NAME, f"results/{NAME}"):
        found = json.loads(l2obench("info", given, "--json")[0])
        assert (found["kind"], found["path"]) == ("results", f"results/{NAME}")
        assert (found["cells"], found["planned"], found["timed_tasks"]) == (2, 2, 0)
        assert found["statuses"] == {"ok": 4}


def test_info_describes_a_task_of_the_users(l2obench: Command, tmp_path: Path) -> None:
    source = """
import torch
from torch import nn

from l2obench import ModuleTask


class Line(ModuleTask):
    def make_model(self):
        return nn.Linear(1, 1)

    def training_data(self):
        return torch.ones(8, 1), torch.ones(8, 1)

    def batch_loss(self, model, batch):
        return nn.functional.mse_loss(model(batch[0]), batch[1])
"""
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    output, _ = l2obench("info", "./mine.py:Line[horizon=7]")
    assert output.startswith("task ./mine.py:Line[horizon=7] (version 1)\n\nParameters:\n  horizon = 7")
    assert "  trained parameters: 2\n  held-out metrics: none\n  replicas: can run together" in output
    found = json.loads(l2obench("info", "torch.optim.Rprop", "--json")[0])
    assert found["kind"] == "optimizer"


def test_info_describes_a_checkpoint_file(l2obench: Command) -> None:
    from l2obench import optimizers

    path = Path(optimizers.__file__).parent / "checkpoints" / "mnist.safetensors"
    found = json.loads(l2obench("info", str(path), "--json")[0])
    assert (found["kind"], found["optimizer"]) == ("checkpoint", "lstm")
    assert found["recipe"]["task"].startswith("mnist-mlp")
    assert str(path) in l2obench("info", str(path))[0]


def test_list_says_what_an_optimizer_still_needs(l2obench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytorch_optimizer" else find(name))
    listed = json.loads(l2obench("list", "optimizers", "--json")[0])["optimizers"]
    marked = {name for name, summary in listed.items() if "pip install 'pytorch-optimizer>=4.1'" in summary}
    assert marked == {"lion", "muon", "soap", "schedule-free", "prodigy"}


def test_every_rule_of_the_library_says_that_it_needs_it() -> None:
    from l2obench.bench.config.registry import optimizer_registry
    from l2obench.optimizers import NEEDS, RULES
    from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer

    rules = {name for name in RULES if issubclass(optimizer_registry().resolve(name), LibraryOptimizer)}
    assert rules == NEEDS.keys()


def test_a_dry_run_says_what_would_run_and_writes_nothing(l2obench: Command, tmp_path: Path) -> None:
    output, _ = l2obench(*RUN, "--dry-run")
    assert "quadratic[dim=3,horizon=6] sgd tuned: 2 seeds, 6 steps" in output
    assert f"into results/{NAME}" in output
    assert "Already computed: 0 of 2 cells" in output
    assert "Time: about " in output
    assert "Trials of up to 8 steps on this machine" in output
    assert list(tmp_path.iterdir()) == []
    found = json.loads(l2obench(*RUN, "--dry-run", "--json")[0])
    assert (found["cells"], found["already_computed"], found["forecast_cells"]) == (2, 0, 2)
    assert (found["evaluation_steps"], found["tuning_steps"]) == (24, 1380)
    assert found["seconds"] > 0
    assert found["timing_seconds"] > 0
    assert found["memory_bytes"] > 0
    l2obench(*RUN, "--no-timing")
    done = json.loads(l2obench(*RUN, "--dry-run", "--json")[0])
    assert (done["already_computed"], done["forecast_cells"], done["seconds"]) == (2, 0, 0.0)
    assert "seeds was 2, now 3" in l2obench(*RUN[:-1], "3", "--dry-run", code=2)[1]
