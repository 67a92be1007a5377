"""What the general optimizer does: `python -m l2obench.bench.studies.learned_steps FIGURE` draws its steps."""

from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import torch
import typer

from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import advance, start
from l2obench.optimizers.designed.relative import is_matrix

TASKS = ("mnist-mlp", "quadratic", "cifar-cnn[channels=8,horizon=100]", "char-transformer")
SEED = 1
KINDS = {"matrices": ("C0", "-"), "embeddings": ("C2", "-."), "all else": ("C1", "--")}


def trace_steps(task: str, optimizer: str = "general") -> tuple[list[dict[str, float]], list[float]]:
    """The sizes of the steps of one run, relative to the size of the weights.

    Args:
        task: its identity.
        optimizer: a `controller` or `relative-muon`.

    Returns:
        For each step, the root mean square of the update over that of the weights for each kind of tensor, as the
        geometric mean over tensors; and the losses.

    Example:
        >>> steps, losses = trace_steps("quadratic[horizon=3]")
        >>> [sorted(step) for step in steps], len(losses)
        ([['all else'], ['all else'], ['all else']], 4)
    """
    family, rule = task_registry().create(task), optimizer_registry().create(optimizer)
    problems = Problems(family, [SEED])
    found: list[dict[str, float]] = []
    with torch.no_grad():
        carry = start(problems, rule)
        losses = [float(carry.losses)]
        for _ in range(family.horizon):
            following = advance(problems, rule, carry)
            by_kind: dict[str, list[float]] = {}
            for name, before in carry.params.items():
                moved = (following.params[name] - before).square().mean().sqrt()
                ratio = float(moved / before.square().mean().sqrt().clamp_min(1e-3))
                memory = following.state["of"][name]
                kind = "matrices" if is_matrix(before) else "all else"
                kind = "embeddings" if "embedding" in memory and bool(memory["embedding"]) else kind
                by_kind.setdefault(kind, []).append(max(ratio, 1e-12))
            found.append({kind: float(torch.tensor(ratios).log().mean().exp()) for kind, ratios in by_kind.items()})
            losses.append(float(following.losses))
            carry = following
    return found, losses


def main(
    to: Annotated[Path, typer.Argument(help="A .png, .svg or .pdf file.")],
    optimizer: Annotated[str, typer.Option(help="A controller.")] = "general",
) -> None:
    """Draw its steps over one run of four tasks, beside those of the untuned hand-designed rule that it steers."""
    torch.set_num_threads(1)
    figure, axes = plt.subplots(1, len(TASKS), figsize=(13, 3.2), layout="constrained")
    for axis, task in zip(axes, TASKS, strict=True):
        steps, _ = trace_steps(task, optimizer)
        designed, _ = trace_steps(task, "relative-muon")
        for kind, (colour, line) in KINDS.items():
            if kind in steps[0]:
                axis.plot([step[kind] for step in steps], colour, ls=line, label=f"{kind}, learned")
                axis.plot([step[kind] for step in designed], "0.6", ls=line, lw=1, label=f"{kind}, by hand")
        axis.set_yscale("log")
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(1e-4, 1)
    axes[0].set_ylabel("size of a step ÷ size of the weights")
    axes[-1].legend(fontsize=7)
    figure.savefig(to, dpi=150)


if __name__ == "__main__":
    typer.run(main)
