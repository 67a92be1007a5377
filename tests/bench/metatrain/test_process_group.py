"""Meta-training on several processes: the numbers of one, whatever the number of processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import HashStore
from typer.testing import CliRunner

from l2obench.bench.commands.cli import app
from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.process_group import ProcessGroup
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import generator
from l2obench.bench.rollout.step import start
from l2obench.optimizers.base import Tensors

RULE = "lstm[hidden=6,output_scale=1,preprocessing=none]"
TRAIN = ["-t", "quadratic[dim=5,horizon=20]", "--functions", "7", "--unroll", "10", "--coordinates", "2"]
TRAIN += ["--validate-every", "2", "--validation-functions", "5"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("coordinates", [None, 2])
def test_shards_average_to_the_meta_gradient_of_all(count: int, coordinates: int | None) -> None:
    recipe = make_recipe({"task": "quadratic[dim=5,horizon=10]", "optimizer": RULE, "unroll": 10})
    trainer, weights = Trainer(recipe), torch.ones(10, dtype=torch.float64) / 10
    phi = {name: value.double() for name, value in trainer.begin().phi.items()}
    rule = trainer.rule.with_meta_parameters(phi)

    def gradient(group: ProcessGroup) -> tuple[Tensors, float]:
        shard = group.shard(7)
        problems = Problems(trainer.task, range(shard.first, shard.stop), dtype=torch.float64)
        with torch.no_grad():
            carry = start(problems, rule)
        segment = truncated_bptt(problems, rule, carry, weights, coordinates, generator(1), shard)
        return segment.meta_grads, (shard.stop - shard.first) / shard.total

    whole, _ = gradient(ProcessGroup())
    parts = [gradient(ProcessGroup(rank, count)) for rank in range(count)]
    assert sum(weight for _, weight in parts) == pytest.approx(1)
    for name, value in whole.items():
        torch.testing.assert_close(sum(grads[name] * weight for grads, weight in parts), value, rtol=1e-9, atol=1e-12)


def torchrun(processes: int) -> list[str]:
    if processes == 1:
        return [sys.executable]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]


def train(processes: int, *words: str) -> str:
    """What rank 0 of `l2obench train` printed. One process is this one, which has imported torch already."""
    if processes == 1:
        own = CliRunner().invoke(app, ["train", *words])
        assert own.exit_code == 0, own.output
        return own.stdout
    done = subprocess.run(
        [*torchrun(processes), "-m", "l2obench", "train", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(first: Path, second: Path) -> None:
    states = [load_file(folder / "state.safetensors") for folder in (first, second)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-3, atol=1e-5)


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    for processes in (1, 2):
        out = tmp_path / str(processes)
        output = train(processes, RULE, *TRAIN, "--trajectories", "4", "--out", str(out))
        assert output.count("Best validation loss") == 1
        assert sorted(path.name for path in out.iterdir()) == [
            "checkpoint.safetensors",
            "log.csv",
            "meta-loss.png",
            "state.safetensors",
        ]
    same(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
def test_any_number_of_processes_goes_on_with_any_others_training(tmp_path: Path) -> None:
    for name, parts in {"undisturbed": [1], "passed-on": [2, 3, 1]}.items():
        for processes in parts:
            stop_at(tmp_path / name, processes, last=processes == parts[-1])
    same(tmp_path / "undisturbed", tmp_path / "passed-on")


def stop_at(folder: Path, processes: int, last: bool) -> None:
    """Train 6 trajectories to the end, or until there is a new saved state, and then kill all processes."""
    words = [RULE, *TRAIN, "--trajectories", "6", "--out", str(folder)]
    if last:
        train(processes, *words)
        return
    state = folder / "state.safetensors"
    before = state.stat().st_mtime_ns if state.exists() else 0
    command = [*torchrun(processes), "-m", "l2obench", "train", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        pass
    process.terminate()
    process.wait()


def test_items_of_a_batch_are_claimed_once_by_whoever_is_free() -> None:
    store = HashStore()
    first, second = (ProcessGroup(rank, 2, store).claim("3", 5) for rank in range(2))
    assert [next(first), next(second), next(second), next(first)] == [0, 1, 2, 3]
    assert list(second) == [4]
    assert list(first) == []
    assert list(ProcessGroup().claim("3", 3)) == [0, 1, 2]


def test_two_processes_share_families_and_give_the_same_bits_as_one(tmp_path: Path) -> None:
    families = ["quadratic[dim=4]", "logistic[data=wine]", "sinusoid[units=5]"]
    mixture = [word for family in families for word in ("-t", family)]
    lengths = ["--families", "3", "--min-horizon", "4", "--max-horizon", "9", "--trajectories", "3", "--pairs", "2"]
    lengths += ["--heldout-share", "0.5"]
    for processes in (1, 2):
        words = ["controller", "--recipe", "general", *mixture, *lengths, "--out", str(tmp_path / str(processes))]
        train(processes, *words, "--validate-every", "3", "--validation-functions", "2")
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("1", "2"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_more_processes_than_functions_are_refused() -> None:
    with pytest.raises(RecipeError, match="9 processes for 8 functions and 32 of validation"):
        Trainer(make_recipe({"task": "quadratic", "unroll": 10}), group=ProcessGroup(0, 9))
