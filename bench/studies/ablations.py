"""What each part of the general optimizer brings: short trainings without it, beside the whole one.

`python -m l2obench.bench.studies.ablations FOLDER --rows ROWS.csv --to docs/ablations.csv` trains each variant with
several seeds, by recipe `general` with few and short trajectories, and measures it on the recipe's validation families.
It goes on where it was stopped; what is in the rows is not trained again. `--part 0 --parts 2` and `--part 1 --parts 2`
share the trainings between two processes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from scipy import stats
from torch import Tensor

from l2obench.bench.config.identity import format_identity, parse_identity
from l2obench.bench.config.recipe import Recipe, make_recipe, named_recipe
from l2obench.bench.config.registry import task_registry
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import MetaTrainingDiverged, Trainer
from l2obench.bench.studies.long_validation import LEAST, final_over_first
from l2obench.optimizers.learned.checkpoint import read_checkpoint

SHORT: Mapping[str, Any] = {
    "trajectories": 40,
    "families": 4,
    "min_horizon": 60,
    "max_horizon": 300,
    "validate_every": 40,
    "validation_functions": 3,
    "fused": True,
}
"""In place of the recipe's own values: a training takes minutes."""
SEGMENTS: Mapping[str, Any] = {
    "families": 1,
    "min_horizon": None,
    "max_horizon": None,
    "heldout_share": 0.0,
    "unroll": 20,
    "trajectories": 160,
    "validate_every": 160,
}
"""Truncations of 20 steps, a meta-step after each, on as many trajectories of one family; their horizons are 100."""
WHOLE, UNTRAINED, SHIPPED = "whole", "untrained", "shipped"
TRAININGS = ("general", "general-trainings/seed-1", "general-trainings/seed-2")
"""The shipped checkpoints by the seed of their training: what training for longer, on more and longer runs, brings."""
COLUMNS = ("variant", "seed", "task", "final_over_first")


@dataclass(frozen=True)
class Variant:
    """A training that differs from the whole one in one part."""

    rule: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the controller."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Values of the recipe."""
    every: int = 1
    """n: every n-th family of the mixture is trained on."""
    horizon: int | None = None
    """Of all families of the mixture, where trajectories have no length of their own."""


VARIANTS: Mapping[str, Variant] = {
    WHOLE: Variant(),
    "time and kind alone": Variant({"inputs": "time-and-kind"}),
    "no loss": Variant({"inputs": "no-loss"}),
    "Muon's direction alone": Variant({"direction": "muon"}),
    "Adam's direction alone": Variant({"direction": "adam"}),
    "no lasting change of the rate": Variant({"integral": False}),
    "no learned weight decay": Variant({"decay": "given"}),
    "no cap": Variant({"cap": 1e6}),
    "floor of usual weights": Variant({"floor": "usual"}),
    "a retreat": Variant({"retreat": True}),
    "8 hidden units": Variant({"hidden": 8}),
    "32 hidden units": Variant({"hidden": 32}),
    "half of the families": Variant(every=2),
    "a quarter of the families": Variant(every=4),
    "training losses alone": Variant(recipe={"heldout_share": 0.0}),
    "ES on truncations": Variant(recipe={**SEGMENTS, "estimator": "es"}, horizon=100),
    "PES on truncations": Variant(recipe={**SEGMENTS, "estimator": "pes"}, horizon=100),
}


def recipe_of(variant: Variant, seed: int) -> Recipe:
    """The recipe of a variant.

    Args:
        variant: to train.
        seed: of the training.

    Raises:
        RecipeError: its values do not make a recipe.

    Example:
        >>> recipe_of(VARIANTS["8 hidden units"], 0).optimizer
        'controller[decay=learned,hidden=8,retreat=false]'
    """
    values = named_recipe("general") | dict(SHORT) | dict(variant.recipe)
    rule, parameters = parse_identity(values["optimizer"])
    # The recipe has written out all bars before a family is left out.
    families = make_recipe(values).mixture or ()
    kept = list(families[:: variant.every])
    if variant.horizon is not None:
        kept = [_with_horizon(family, variant.horizon) for family in kept]
    values |= {
        "optimizer": format_identity(rule, parameters | dict(variant.rule)),
        "task": kept[0],
        "mixture": kept,
        "seed": seed,
    }
    return make_recipe(values)


def _with_horizon(family: str, horizon: int) -> str:
    name, parameters = parse_identity(family)
    return format_identity(name, {**parameters, "horizon": horizon})


def measure(variant: str, seed: int, folder: Path) -> dict[str, float]:
    """Train a variant, or go on with it, and measure it on the recipe's validation families.

    Args:
        variant: its name; `untrained` is the rule before training, `shipped` is the shipped checkpoint of that seed.
        seed: of the training.
        folder: where the training is kept.

    Returns:
        The mean final loss over the mean loss at the start, by family; infinity where a function diverges.
    """
    recipe = recipe_of(VARIANTS.get(variant, VARIANTS[WHOLE]), seed)
    ratios: dict[str, float] = {}

    def keep(identity: str, losses: Tensor) -> None:
        ratios[identity] = final_over_first(task_registry().create(identity), losses)

    if variant in (UNTRAINED, SHIPPED):
        trainer = Trainer(recipe)
        phi = dict(read_checkpoint(TRAININGS[seed]).tensors) if variant == SHIPPED else trainer.begin().phi
        trainer.validate(phi, keep)
        return ratios
    session = Session(folder / f"{variant}-{seed}", recipe)
    try:
        best = session.run(on_validation=keep).best
    except MetaTrainingDiverged:  # That is a result: of the families that its end diverges on, infinity.
        best = session.progress.average
    if not ratios:  # It had ended before it was measured.
        session.trainer.validate(best, keep)
    return ratios


def read_rows(path: Path) -> pd.DataFrame:
    """The rows so far, without those of a training whose rows a kill has cut off.

    Args:
        path: of the file; none is no rows.
    """
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    rows = pd.read_csv(path).drop_duplicates(["variant", "seed", "task"])
    counts = rows.groupby(["variant", "seed"])["final_over_first"].transform("count")
    whole: pd.DataFrame = rows[counts == counts.max()]
    return whole


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Hold each variant against the whole one.

    Args:
        rows: of `COLUMNS`.

    Returns:
        One row a variant: `ratio`, the geometric mean over tasks and trainings of its final ratio over that of the
        whole one's training of the same seed, with its 95 % interval over trainings (Student's t), which is infinite
        with one training, and for each family the same without an interval.

    Example:
        >>> rows = [("whole", seed, "quadratic", 0.1) for seed in (0, 1)]
        >>> rows += [("no cap", 0, "quadratic", 0.2), ("no cap", 1, "quadratic", 0.2)]
        >>> found = compare(pd.DataFrame(rows, columns=COLUMNS))
        >>> found[["variant", "trainings", "ratio", "high"]].round(6).to_dict("records")
        [{'variant': 'no cap', 'trainings': 2, 'ratio': 2.0, 'high': 2.0}]
    """
    logs = np.log(rows.set_index(["variant", "seed", "task"])["final_over_first"].clip(lower=LEAST))
    whole, found = logs.loc[WHOLE], []
    for variant in sorted(set(rows["variant"]) - {WHOLE}, key=[SHIPPED, UNTRAINED, *VARIANTS].index):
        differences = (logs.loc[variant] - whole).dropna().unstack("task")
        means = differences.mean(axis=1)
        count = len(means)
        with np.errstate(invalid="ignore"):  # Nothing is said around a ratio that is infinite.
            spread = means.std() / math.sqrt(count) if count > 1 else math.inf
            half = stats.t.ppf(0.975, max(1, count - 1)) * spread
            ends = {"ratio": means.mean(), "low": means.mean() - half, "high": means.mean() + half}
        ends |= {str(task): value for task, value in differences.mean().items()}
        ratios = {name: float(np.exp(end)) for name, end in ends.items()}
        found.append({"variant": variant, "trainings": count, **ratios})
    return pd.DataFrame(found)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the trainings are kept; the same command goes on.")],
    rows: Annotated[Path, typer.Option(help="The .csv file of each training's ratios; it is gone on with.")],
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each variant.")] = 3,
    part: Annotated[int, typer.Option(min=0, help="Which share of the trainings this process makes, from 0 on.")] = 0,
    parts: Annotated[int, typer.Option(min=1, help="How many processes share them.")] = 1,
    to: Annotated[Path | None, typer.Option(help="A .csv file to keep the comparison in.")] = None,
) -> None:
    """Print each variant's typical ratio to the whole one, above 1 where what is left out helps."""
    torch.set_num_threads(1)
    if part >= parts:
        raise typer.BadParameter(f"part must be below parts ({parts}), got {part}. Try: --part {parts - 1}")
    trainings = [(variant, seed) for seed in range(seeds) for variant in (WHOLE, UNTRAINED, *list(VARIANTS)[1:])]
    trainings += [(SHIPPED, seed) for seed in range(min(seeds, len(TRAININGS)))]
    for variant, seed in trainings[part::parts]:
        known = read_rows(rows)
        if not ((known["variant"] == variant) & (known["seed"] == seed)).any():
            found = [(variant, seed, task, ratio) for task, ratio in measure(variant, seed, folder).items()]
            text = pd.DataFrame(found, columns=list(COLUMNS)).to_csv(index=False, header=False, float_format="%.6g")
            # One write of a few lines at the end: those of another process are before it or after it.
            with rows.open("a", encoding="utf-8") as file:
                file.write(text if file.tell() else f"{','.join(COLUMNS)}\n{text}")
        typer.echo(f"{variant}, seed {seed}: done")
    if parts > 1:
        return
    compared = compare(read_rows(rows))
    if to is not None:
        compared.to_csv(to, index=False, float_format="%.6g")
    typer.echo(compared.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
