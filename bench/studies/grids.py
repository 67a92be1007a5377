"""Whether a finer grid of learning rates changes a verdict: `python -m l2obench.bench.studies.grids results/quick`.

The rates around the tuned one of each baseline are tried on its tuning seeds, steps halved again and again. The rate
that is then the best runs on the evaluation seeds, and every learned optimizer is compared with it anew.
"""

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray

from l2obench.bench.config.registry import identify_functions, optimizer_registry, task_registry
from l2obench.bench.measure.outcomes import score
from l2obench.bench.measure.tuning import rate_of, run_rates
from l2obench.bench.process import set_up_process
from l2obench.bench.rollout.loop import DEFAULT_OPTIONS, rollout
from l2obench.bench.rollout.seeds import Purpose, derive_seed
from l2obench.bench.stats import compare_losses, decide
from l2obench.bench.store.run_folder import RunFolder

LEVELS = 3
"""How often steps are halved; level 0 is the whole grid of four points a decade."""
Tried = dict[float, list[dict[str, Any]]]


def refine(task: str, optimizer: str, tuned: pd.DataFrame, seeds: int) -> list[tuple[float, NDArray[np.float64]]]:
    """Choose the rate of a baseline on finer and finer grids.

    Args:
        task: its identity.
        optimizer: that of the baseline.
        tuned: the rows of its tuning.
        seeds: evaluation seeds.

    Returns:
        For each level the rate, and its final losses on the evaluation seeds.
    """
    family, rule = task_registry().create(task), optimizer_registry().create(optimizer)
    places = {purpose: identify_functions(family) for purpose in ("tuning", "evaluation")}
    places["tuning"] = identify_functions(family.for_tuning())
    tuning = _seeds("tuning", places["tuning"], int(tuned["seed"].nunique()))
    tried: Tried = {
        float(point): rows[["final_loss", "status"]].to_dict("records")  # type: ignore[misc]
        for lr, rows in tuned.groupby("lr")
        if rate_of(point := round(math.log10(float(str(lr))) * 4)) == lr
    }
    levels = [_best(tried)]
    for level in range(1, LEVELS + 1):
        beside = [levels[-1] - 0.5**level, levels[-1] + 0.5**level]
        tried.update(run_rates(family, rule, tuning, beside, DEFAULT_OPTIONS, None))
        levels.append(_best(tried))
    chosen = sorted(set(levels))
    stacked = rule.stacked({"lr": torch.tensor([[rate_of(point) for point in chosen]])})
    evaluation = _seeds("evaluation", places["evaluation"], seeds)
    losses = rollout(family, stacked, evaluation, len(chosen), evaluate=False).losses.double()
    final = family.final_loss(losses).numpy()
    return [(rate_of(point), final[:, chosen.index(point)]) for point in levels]


def _seeds(purpose: Purpose, family: str, count: int) -> list[int]:
    return [derive_seed(purpose, family, index) for index in range(count)]


def _best(tried: Tried) -> float:
    return min(tried, key=lambda point: (*score(tried[point]), point))


def study(folder: Path) -> pd.DataFrame:
    """Compare every learned optimizer of a run with every tuned baseline, at each level.

    Args:
        folder: a run whose learning rates were tuned on a whole grid.

    Returns:
        A row for each task, learned optimizer, baseline and level: the rate, the mean final losses and the verdict.
    """
    run = RunFolder(folder)
    cells, tuning = run.read("cells"), run.read("tuning")
    found: list[dict[str, Any]] = []
    for task, rows in cells.groupby("task", sort=False):
        tuned = tuning[tuning["task"].eq(task)]
        seeds = int(rows["seed"].nunique())
        levels = {name: refine(str(task), str(name), own, seeds) for name, own in tuned.groupby("optimizer")}
        for learned, own in rows[rows["learned"].eq(True)].groupby("optimizer"):
            losses = own.sort_values("seed")["final_loss"].to_numpy(dtype=float)
            for level in range(LEVELS + 1):
                against = {str(name): at[level] for name, at in levels.items()}
                verdicts = decide([compare_losses(losses, other) for _, other in against.values()])
                found += [
                    {"task": task, "optimizer": learned, "baseline": name, "level": level, "lr": lr}
                    | {"mean": losses.mean(), "baseline_mean": other.mean(), "verdict": verdict.outcome}
                    for (name, (lr, other)), verdict in zip(against.items(), verdicts, strict=True)
                ]
    return pd.DataFrame(found)


def main(folder: Annotated[Path, typer.Argument(help="A run whose rates were tuned on a whole grid.")]) -> None:
    """Print the rate, the means and the verdict for each level of refinement."""
    set_up_process()
    print(study(folder).to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
