"""A plain training loop, and the optimizers that `char_gpt.py` and `small_resnet.py` run in it."""

import argparse
import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import StrMethodFormatter
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

import l2obench

RATES = {"AdamW": (3e-3, 1e-2, 3e-2), "Celo2": (1e-3, 3e-3, 1e-2)}
"""Of these, the best by the mean of the last held-out losses counts. The other optimizers are as they come."""
POINTS = 20
"""How often the held-out loss is taken."""


@dataclass(frozen=True)
class Problem:
    """What is trained: everything is drawn anew from the same seed for each optimizer."""

    make_model: Callable[[], nn.Module]
    batch_loss: Callable[[nn.Module, torch.Generator], Tensor]
    """The loss on a minibatch that is drawn with the generator."""
    heldout_loss: Callable[[nn.Module], Tensor]


@dataclass(frozen=True)
class Run:
    """One training."""

    rate: float
    """The peak; 1 where the optimizer takes none."""
    steps: list[int]
    heldout: list[float]
    """After that many steps."""
    seconds: list[float]
    """Processor time of the steps until then, evaluation left out: what a core that is free takes."""
    wall_clock: float
    """Seconds of all steps by the clock, on this machine as it was."""


def make_optimizer(name: str, rate: float, model: nn.Module, steps: int, celo2: Path) -> Optimizer:
    """An optimizer by the name that the figure has.

    Args:
        name: one of `AdamW`, `Muon`, `general` and `Celo2`.
        rate: the peak of AdamW's and Celo2's.
        model: to train.
        steps: of the training.
        celo2: the checkpoint of Celo2's published weights.
    """
    if name == "AdamW":
        return torch.optim.AdamW(model.parameters(), lr=rate)
    identity = {"Muon": "relative-muon", "general": "general", "Celo2": f"celo2[checkpoint={celo2}]"}[name]
    values = {"lr": rate} if name == "Celo2" else {}
    return l2obench.load(identity, model.named_parameters(), num_steps=steps, **values)


def train(problem: Problem, name: str, rate: float, steps: int, celo2: Path, seed: int = 0) -> Run:
    """Train from the start with one optimizer.

    Args:
        problem: what to train.
        name: of the optimizer.
        rate: its peak, where it takes one.
        steps: how many.
        celo2: the checkpoint of Celo2's published weights.
        seed: of the start and of the minibatches.
    """
    torch.manual_seed(2 * seed)
    model, generator = problem.make_model(), torch.Generator().manual_seed(2 * seed + 1)
    optimizer = make_optimizer(name, rate, model, steps, celo2)
    # AdamW and Celo2 leave the schedule to their user; the other two have their own.
    scheduled = name in RATES
    schedule = LambdaLR(optimizer, lambda step: warm_cosine(step, steps) if scheduled else 1.0)
    points, heldout, seconds = [0], [evaluate(problem, model)], [0.0]
    spent = processor = 0.0
    for step in range(1, steps + 1):
        started, began = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = problem.batch_loss(model, generator)
        loss.backward()
        # The general optimizer looks at the loss too.
        optimizer.step(loss=loss) if name == "general" else optimizer.step()
        schedule.step()
        spent += time.perf_counter() - started
        processor += time.process_time() - began
        if step % max(1, steps // POINTS) == 0 or step == steps:
            points.append(step)
            heldout.append(evaluate(problem, model))
            seconds.append(processor)
    return Run(rate, points, heldout, seconds, spent)


def warm_cosine(step: int, steps: int) -> float:
    """A warm-up over 5 % of the steps, then a cosine to zero, as a factor of the rate.

    Args:
        step: steps done.
        steps: of the training.
    """
    rising = max(1, round(0.05 * steps))
    return min((step + 1) / rising, 0.5 * (1 + math.cos(math.pi * max(0, step - rising) / max(1, steps - rising))))


@torch.no_grad()
def evaluate(problem: Problem, model: nn.Module) -> float:
    """The held-out loss, with batch norm in evaluation.

    Args:
        problem: what is trained.
        model: at present.
    """
    model.eval()
    loss = float(problem.heldout_loss(model))
    model.train()
    return loss


def best_runs(problem: Problem, steps: int, celo2: Path, seeds: int = 1) -> dict[str, list[Run]]:
    """A run of each optimizer and seed, all with the best of its rates; Celo2 only where its weights are.

    Args:
        problem: what to train.
        steps: of each training.
        celo2: the checkpoint of Celo2's published weights.
        seeds: how many.
    """
    found = {}
    for name in ("AdamW", "Muon", "general", "Celo2"):
        if name == "Celo2" and not celo2.exists():
            print(f"Celo2 is left out: {celo2} does not exist. Try: l2obench import-weights FILE {celo2}")
            continue
        tried = [
            [train(problem, name, rate, steps, celo2, seed) for seed in range(seeds)]
            for rate in RATES.get(name, (1.0,))
        ]
        found[name] = min(tried, key=mean_loss)
        label = f"{name}, rate {found[name][0].rate:g}" if name in RATES else name
        seconds = [sum(run.seconds[-1] for run in found[name]), sum(run.wall_clock for run in found[name])]
        times = f"{seconds[0] / seeds:6.1f} s of a processor   {seconds[1] / seeds:6.1f} s wall-clock"
        print(f"{label:22} held-out loss {mean_loss(found[name]):.4f}   {times}", flush=True)
    return found


def mean_loss(runs: Sequence[Run]) -> float:
    """The mean of the last held-out losses.

    Args:
        runs: one for each seed.
    """
    return sum(run.heldout[-1] for run in runs) / len(runs)


def write_rows(runs: dict[str, list[Run]], path: Path) -> None:
    """Write a row for each optimizer and seed.

    Args:
        runs: by the name of the optimizer.
        path: of a CSV file, which is overwritten.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("optimizer", "seed", "rate", "heldout_loss", "processor_seconds", "wall_clock_seconds"))
        for name, own in runs.items():
            for seed, run in enumerate(own):
                seconds = (round(run.seconds[-1], 3), round(run.wall_clock, 3))
                rows.writerow((name, seed, run.rate, round(run.heldout[-1], 6), *seconds))


def draw(runs: dict[str, Run], title: str, path: Path) -> None:
    """Draw held-out losses against steps and against processor time.

    Args:
        runs: by the name of the optimizer.
        title: of the figure.
        path: of a PNG, which is overwritten.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for name, run in runs.items():
        axes[0].plot(run.steps, run.heldout, label=name)
        axes[1].plot(run.seconds, run.heldout, label=name)
    losses = [loss for run in runs.values() for loss in run.heldout]
    axes[0].set(xlabel="steps", ylabel="held-out loss", yscale="log")
    axes[1].set(xlabel="seconds of one processor")
    axes[0].legend()
    for axis in axes:
        axis.grid(alpha=0.3, which="both")
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        if max(losses) < 10 * min(losses):
            axis.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(problem: Problem, title: str, name: str, steps: int) -> None:
    """Run the race as a command.

    Args:
        problem: what to train.
        title: of the figure.
        name: of the figure's file.
        steps: of each training, unless the command line says otherwise.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--celo2", type=Path, default=Path("celo2.safetensors"), help="checkpoint of Celo2's weights")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each optimizer; the figure has the first")
    parser.add_argument("--out", type=Path, default=Path(name), help="the figure")
    parser.add_argument("--rows", type=Path, help="a CSV file for a row of each optimizer and seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = best_runs(problem, options.steps, options.celo2, options.seeds)
    if options.rows:
        write_rows(runs, options.rows)
    draw({name: own[0] for name, own in runs.items()}, title, options.out)
    print(f"Figure written to {options.out}")
