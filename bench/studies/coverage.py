"""Measures how often the intervals of a verdict hold the truth: `python -m l2obench.bench.studies.coverage`.

Final losses of many trajectories are the population. Samples of n seeds are drawn from it with replacement. The
verdict of a sample is compared with the population's. The quadratics are the committed reference results. The final
losses of the other tasks are committed too; `--run` computes them, and a run that was stopped goes on.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.process import set_up_process
from l2obench.bench.run.runner import Runner
from l2obench.bench.stats.intervals import SEED
from l2obench.bench.stats.mean_ratio import mean_ratio
from l2obench.bench.stats.pairs import pair_losses
from l2obench.bench.stats.signed_rank import hodges_lehmann, rejects_no_difference
from l2obench.bench.store.run_folder import RunFolder

REFERENCE = Path("results/reference/paper-quadratic")
SAMPLES = (10, 20, 100, 500)
"""The numbers of seeds that the suites use."""
FROM_REFERENCE = (
    ("quadratic", "lstm[checkpoint=quadratic]", "momentum"),
    ("quadratic[horizon=1000]", "lstm[checkpoint=quadratic]", "momentum"),
    ("quadratic", "adam", "nag"),
)
# Learning rates are those that the reference results of paper-mnist and no-free-lunch tuned.
RUN_HERE = (
    ("mnist-mlp", "lstm[checkpoint=mnist]", "nag[lr=1]", 500),
    ("mnist-mlp", "adam[lr=0.0316228]", "nag[lr=1]", 500),
    ("chained-rosenbrock[dim=10,horizon=100]", "adam[lr=0.562341]", "nag[lr=0.000316228]", 4000),
)
POPULATIONS = Path("docs/coverage-populations.parquet")
"""Final losses of what is run here."""
COLUMNS = ["task", "optimizer", "seed", "final_loss"]
MEANS_SHARE = 10
"""Of the ratio of means, one in so many samples is used: each takes a bootstrap of 10,000 resamples."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Two optimizers' final losses on many seeds of a task."""

    task: str
    first: str
    second: str
    losses: Floats
    """`[2, seeds]`."""


def run_populations(folder: Path, report: Callable[[str], Any] = lambda _: None) -> None:
    """Compute the populations that are run here, and write their final losses to `POPULATIONS`.

    Args:
        folder: of the run; what it holds already is not computed again.
        report: called with a line for each thing done.
    """
    wanted = {(task, rule): seeds for task, *rules, seeds in RUN_HERE for rule in rules}
    cells = [
        Cell(task_registry().create(task), optimizer_registry().create(rule), "default", seeds, 1)
        for (task, rule), seeds in wanted.items()
    ]
    run = RunFolder(folder)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"suite": "coverage", "description": "coverage of the intervals", "command": "", "started": started}
    Runner(run, cells, RunOptions(timing=False), report=report).execute(about)
    run.read("cells")[COLUMNS].to_parquet(POPULATIONS, index=False, compression="zstd")


def read_populations() -> list[Population]:
    """Read the populations of the committed results, then those that were run for this study."""
    reference, here = RunFolder(REFERENCE).read("cells"), pd.read_parquet(POPULATIONS)
    return [
        *(_population(reference, *names) for names in FROM_REFERENCE),
        *(_population(here, *names) for *names, _ in RUN_HERE),
    ]


def _population(rows: pd.DataFrame, task: str, first: str, second: str) -> Population:
    sides = [rows[(rows["task"] == task) & (rows["optimizer"] == name)].set_index("seed") for name in (first, second)]
    losses = pd.concat([side["final_loss"] for side in sides], axis=1, join="inner").to_numpy(dtype=float).T
    return Population(task, first, second, losses)


def measure_coverage(population: Population, count: int, draws: int) -> float:
    """Measure how often the interval of the typical ratio, of `count` seeds, holds the population's ratio.

    The interval holds the shifts that the test does not reject, so the true shift is tested.

    Args:
        population: its Hodges–Lehmann estimate is the truth.
        count: seeds of a sample.
        draws: samples.

    Returns:
        A share of the samples, in [0, 1].
    """
    truth = hodges_lehmann(pair_losses(*population.losses).contrasts)
    samples = _samples(population, count, draws)
    return float(np.mean([not rejects_no_difference(pair_losses(*drawn).contrasts - truth) for drawn in samples]))


def measure_coverage_of_means(population: Population, count: int, draws: int) -> float:
    """Measure how often the interval of the ratio of means holds the population's. Each sample takes a bootstrap.

    Args:
        population: its ratio of means is the truth.
        count: seeds of a sample.
        draws: samples.

    Returns:
        A share of the samples, in [0, 1]; NaN where a mean is infinite.
    """
    first, second = population.losses.mean(axis=1)
    if not np.isfinite([first, second]).all():
        return float("nan")
    found = [mean_ratio(*drawn) for drawn in _samples(population, count, draws)]
    return float(np.mean([interval.low <= first / second <= interval.high for interval in found]))


def measure_false_verdicts(population: Population, count: int, draws: int) -> float:
    """Measure how often two copies of the first optimizer get a verdict, each on functions of its own.

    Args:
        population: only its first optimizer is used.
        count: seeds of a sample.
        draws: samples.

    Returns:
        A share of the samples, in [0, 1].
    """
    random = np.random.default_rng(SEED)
    losses = population.losses[0]
    return float(np.mean([_differ(losses[random.integers(losses.size, size=(2, count))]) for _ in range(draws)]))


def measure_false_verdicts_of_pairs(population: Population, count: int, draws: int) -> float:
    """Measure how often equal optimizers get a verdict, on pairs that differ as much as real ones.

    A fair coin exchanges the two optimizers on each seed.

    Args:
        population: both optimizers are used.
        count: seeds of a sample.
        draws: samples.

    Returns:
        A share of the samples, in [0, 1].
    """
    random = np.random.default_rng(SEED)
    coins = (random.random(count) < 0.5 for _ in range(draws))
    samples = zip(coins, _samples(population, count, draws), strict=True)
    found = [_differ(np.stack([np.where(coin, *drawn), np.where(coin, *drawn[::-1])])) for coin, drawn in samples]
    return float(np.mean(found))


def _differ(losses: Floats) -> bool:
    """Whether a comparison by itself has another outcome than "no difference", which its p-value alone decides."""
    return rejects_no_difference(pair_losses(*losses).contrasts)


def _samples(population: Population, count: int, draws: int) -> Iterator[Floats]:
    random = np.random.default_rng(SEED)
    for _ in range(draws):
        yield population.losses[:, random.integers(population.losses.shape[1], size=count)]


def measure(found: Sequence[Population], draws: int, report: Callable[[str], Any]) -> pd.DataFrame:
    """Measure all shares, in one row for each population and number of seeds.

    Args:
        found: the populations.
        draws: samples of each kind; a `MEANS_SHARE`th as many for the ratio of means.
        report: called with a line for each row.
    """
    rows = []
    for population in found:
        for count in SAMPLES:
            rows.append(
                {
                    "task": population.task,
                    "compared": f"{population.first} ÷ {population.second}",
                    "population": population.losses.shape[1],
                    "seeds": count,
                    "draws": draws,
                    "typical_covers": measure_coverage(population, count, draws),
                    "means_cover": measure_coverage_of_means(population, count, max(1, draws // MEANS_SHARE)),
                    "copies_differ": measure_false_verdicts(population, count, draws),
                    "exchanged_differ": measure_false_verdicts_of_pairs(population, count, draws),
                }
            )
            report(str(rows[-1]))
    return pd.DataFrame(rows)


def summarize(rows: pd.DataFrame) -> str:
    """Write the table of the protocol: one line for each pair of optimizers, in per cent, by number of seeds.

    Args:
        rows: as `measure` gives them.
    """
    shares = ["typical_covers", "means_cover", "copies_differ", "exchanged_differ"]
    titles = ["compared", "seeds", "typical ratio holds", "ratio of means holds", "two copies differ"]
    lines = [[*titles, "exchanged sides differ"], ["---"] * 6]
    for (task, compared), group in rows.groupby(["task", "compared"], sort=False):
        columns = [[f"{100 * share:.1f}" for share in group[name]] for name in shares]
        cells = [" · ".join("—" if text == "nan" else text for text in column) for column in columns]
        lines.append([f"`{task}`, {compared}", " · ".join(map(str, group["seeds"])), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of a run that computes the trajectories first. Unless given, the committed ones."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Samples of each kind; a tenth as many for means.")] = 2000,
    to: Annotated[Path | None, typer.Option(help="CSV file to write the rows to.")] = None,
) -> None:
    """Print how often the intervals hold the truth, and how often equal optimizers get a verdict."""
    set_up_process()

    def report(line: str) -> None:
        typer.echo(line, err=True)

    if run is not None:
        run_populations(run, report)
    table = measure(read_populations(), draws, report)
    if to is not None:
        table.to_csv(to, index=False, float_format="%.4g")
    typer.echo(summarize(table))


if __name__ == "__main__":
    typer.run(main)
