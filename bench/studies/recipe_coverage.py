"""Measures how often a recipe's interval holds the truth: `python -m l2obench.bench.studies.recipe_coverage`.

Trainings and seeds are simulated, both random. The log ratio of training k on seed s is a_k + b_s + e_ks. The effects
of trainings and the rest are normal, those of seeds normal or heavy-tailed (Student's t with 4 degrees of freedom).
Beside the recipe's interval stands what one of its checkpoints would claim: its own interval, read as the recipe's.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from l2obench.bench.stats.intervals import CONFIDENCE, SEED
from l2obench.bench.stats.recipes import compare_recipe
from l2obench.bench.stats.signed_rank import rejects_no_difference

# The standard deviation of the log mean loss between trainings was 0.62 to 0.88 on quadratics over 1,000 steps.
SPREADS = (0.0, 0.2, 0.75)
TRAININGS = (3, 5, 10)
SEEDS = (20, 100)
TAILS = ("normal", "t with 4 degrees")
SEED_SPREAD, REST_SPREAD = 1.0, 0.5
"""Standard deviations of the effects of seeds, and of what is left."""
FREEDOM = 4


def simulate_logs(
    random: np.random.Generator, trainings: int, seeds: int, spread: float, tail: str
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Draw log ratios `[trainings, seeds]` of a recipe that equals its baseline on average.

    Args:
        random: the source of all randomness.
        trainings: of the recipe.
        seeds: on which each is evaluated.
        spread: standard deviation between trainings.
        tail: of the effects of seeds, one of `TAILS`.
    """
    effects = random.standard_normal(seeds)
    if tail != "normal":
        effects = random.standard_t(FREEDOM, seeds) / np.sqrt(FREEDOM / (FREEDOM - 2))
    rest = REST_SPREAD * random.standard_normal((trainings, seeds))
    return spread * random.standard_normal((trainings, 1)) + SEED_SPREAD * effects + rest


def measure(draws: int, report: Callable[[str], Any] = lambda _: None) -> pd.DataFrame:
    """Measure all shares, in one row for each setting.

    Args:
        draws: recipes in each setting.
        report: called with a line for each row.

    Returns:
        `recipe_covers` and `recipe_differs`: shares of recipes whose interval holds no difference, and that get a
        verdict; `one_training_differs`: shares of which the first checkpoint alone gets one.
    """
    rows = []
    for tail in TAILS:
        for spread in SPREADS:
            for trainings in TRAININGS:
                for seeds in SEEDS:
                    rows.append(measure_setting(trainings, seeds, spread, tail, draws))
                    report(str(rows[-1]))
    return pd.DataFrame(rows)


def measure_setting(trainings: int, seeds: int, spread: float, tail: str, draws: int) -> dict[str, Any]:
    """Measure the shares of one setting.

    Args:
        trainings: of each recipe.
        seeds: on which each training is evaluated.
        spread: standard deviation between trainings.
        tail: of the effects of seeds, one of `TAILS`.
        draws: simulated recipes.

    Returns:
        A row of `measure`.
    """
    random = np.random.default_rng(SEED)
    covered, differ, alone = [], [], []
    for _ in range(draws):
        logs = simulate_logs(random, trainings, seeds, spread, tail)
        found = compare_recipe(np.exp(logs), np.ones(seeds))
        covered.append(found.typical.low <= 1 <= found.typical.high)
        differ.append(found.p_value <= 1 - CONFIDENCE)
        alone.append(rejects_no_difference(logs[0]))
    return {
        "seed_effects": tail,
        "between_trainings": spread,
        "trainings": trainings,
        "seeds": seeds,
        "draws": draws,
        "recipe_covers": float(np.mean(covered)),
        "recipe_differs": float(np.mean(differ)),
        "one_training_differs": float(np.mean(alone)),
    }


def main(
    draws: Annotated[int, typer.Option(min=1, help="Simulated recipes in each setting.")] = 1000,
    to: Annotated[Path | None, typer.Option(help="CSV file to write the rows to.")] = None,
) -> None:
    """Print how often a recipe's interval holds the truth, and how often one checkpoint alone gets a verdict."""
    table = measure(draws, lambda line: typer.echo(line, err=True))
    if to is not None:
        table.to_csv(to, index=False, float_format="%.4g")
    typer.echo(table.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
