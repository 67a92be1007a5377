"""Measures the gate's error rates: `python -m l2obench.bench.studies.error_rates` prints the table of docs/ci.md.

Each comparison is a whole check: the gate's tasks of one shipped checkpoint, with the gate's numbers of seeds, drawn
with replacement from real trajectories (`bench/studies/pools.py`) and handed to the code that decides for everyone.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy import stats

from l2obench.bench.config.suite import load_suite
from l2obench.bench.gate.clocks import Clock
from l2obench.bench.gate.side import Recorded, read_side
from l2obench.bench.gate.task_facts import task_facts
from l2obench.bench.gate.verdict import compare
from l2obench.bench.process import set_up_process
from l2obench.bench.studies.pools import Pool, build
from l2obench.optimizers import rule_of_checkpoint, shipped_checkpoints

SEED = 20161130
Pair = tuple[list[Recorded], list[Recorded]]
"""The cells of BASE and of HEAD, task by task, on the same seeds."""
Resampled = Callable[[np.random.Generator], Pair]


class Measured:
    """The cells of a pool, by optimizer, and comparisons drawn from them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.seeds = {cell.key[0]: cell.seeds for cell in load_suite("gate").cells()}
        self.cells: dict[str, list[Recorded]] = {}
        again = [replace(cell, key=(cell.key[0], _AGAIN, cell.key[2])) for cell in read_side(pool.rounded.folder)]
        for cell in sorted([*read_side(pool.run.folder), *again], key=lambda cell: cell.key):
            self.cells.setdefault(cell.key[1], []).append(cell)
        self.noisy = next(pairs for what, pairs in pool.mistakes.items() if "noise" in what)

    def pair(self, base: str, head: str, random: np.random.Generator, seeds: int | None = None) -> Pair:
        """Both optimizers on the same seeds, drawn with replacement."""
        sides: Pair = ([], [])
        for before, after in zip(self.cells[base], self.cells[head], strict=True):
            drawn = random.integers(len(before.rows), size=seeds or self.seeds[before.key[0]])
            for side, cell in zip(sides, (before, after), strict=True):
                side.append(_with(cell, cell.rows.iloc[drawn]))
        return sides

    def same_weights(self, random: np.random.Generator) -> Pair:
        """The shipped checkpoint twice, its replicas batched otherwise: what differs is rounding."""
        return self.pair(self.pool.shipped, _AGAIN, random)

    def exchanged(self, random: np.random.Generator) -> Pair:
        """Two optimizers, for each seed by a coin on this side or on that: pairs as far apart as under 5 % noise."""
        base, head = self.pair(*self.noisy[random.integers(len(self.noisy))], random)
        coins = [random.random(len(cell.rows)) < 0.5 for cell in base]
        return (
            [_mixed(a, b, coin) for a, b, coin in zip(base, head, coins, strict=True)],
            [_mixed(b, a, coin) for a, b, coin in zip(base, head, coins, strict=True)],
        )

    def other_functions(self, random: np.random.Generator) -> Pair:
        """The shipped checkpoint on unrelated functions on each side: pairs that are not pairs at all."""
        once = self.pair(self.pool.shipped, self.pool.shipped, random)[0]
        return once, self.pair(self.pool.shipped, self.pool.shipped, random)[0]

    def worse_by_a_tenth(self, pairs: Resampled) -> Resampled:
        def resampled(random: np.random.Generator) -> Pair:
            base, head = pairs(random)
            return base, [_with(cell, cell.rows.assign(final_loss=cell.rows["final_loss"] * 1.1)) for cell in head]

        return resampled

    def one_of_twenty_diverges(self, random: np.random.Generator) -> Pair:
        """Twenty seeds on every task; on one task, one of them diverges."""
        base, head = self.pair(self.pool.shipped, _AGAIN, random, seeds=20)
        struck = int(random.integers(len(head)))
        rows = head[struck].rows.copy()
        rows.loc[random.integers(20), ["status", "final_loss"]] = "diverged", np.inf
        head[struck] = replace(head[struck], rows=rows)
        return base, head

    def mistake(self, pairs: list[tuple[str, str]]) -> Resampled:
        def resampled(random: np.random.Generator) -> Pair:
            return self.pair(*pairs[random.integers(len(pairs))], random)

        return resampled

    def really_worse(self) -> list[tuple[str, str]]:
        """The draws of noise that are a fault: over all seeds of the pool, a task's mean loss rose beyond tolerance."""
        return [pair for pair in self.noisy if any(self._rose(*cells) for cells in self._tasks(*pair))]

    def _tasks(self, base: str, head: str) -> Iterator[tuple[Recorded, Recorded]]:
        return zip(self.cells[base], self.cells[head], strict=True)

    @staticmethod
    def _rose(before: Recorded, after: Recorded) -> bool:
        means = [float(cell.rows["final_loss"].mean()) for cell in (before, after)]
        return means[1] > means[0] * (1 + task_facts(before.key[0]).tolerance)

    def step_time_ratios(self) -> list[float]:
        """Step times of perturbed weights over those of the shipped ones: the same code, in the same pass."""
        clocks = [cell.clock.step_seconds for cell in self.cells[self.pool.shipped]]
        return [clock[head] / clock[base] for clock in clocks for base, head in self.noisy]


_AGAIN = "the shipped checkpoint, batched otherwise"


def _mixed(first: Recorded, second: Recorded, coin: NDArray[np.bool_]) -> Recorded:
    """The seeds of the first cell, and those of the second where the coin says so."""
    return _with(
        first, pd.DataFrame({name: np.where(coin, second.rows[name], first.rows[name]) for name in first.rows})
    )


def _with(cell: Recorded, rows: pd.DataFrame) -> Recorded:
    """A cell under the name that both sides have, its seeds numbered anew, its clock taken away."""
    task, _, track = cell.key
    return replace(cell, key=(task, "optimizer", track), rows=rows.reset_index(drop=True), clock=Clock("", {}))


def measure(measured: Measured, comparisons: int, faults: int) -> Iterator[tuple[str, str, float, int, int]]:
    """For each kind of comparison: false alarm or catch, its name, the rate aimed at, how many failed, of how many."""
    same, exchanged = measured.same_weights, measured.exchanged
    kinds: list[tuple[str, str, Resampled]] = [
        ("false alarms", "the same weights, rounded otherwise", same),
        ("false alarms", "sides exchanged by a coin for every seed", exchanged),
        ("false alarms", "unrelated functions on the two sides", measured.other_functions),
        ("caught", "final loss 10 % worse", measured.worse_by_a_tenth(same)),
        ("caught", "final loss 10 % worse, sides exchanged by a coin", measured.worse_by_a_tenth(exchanged)),
        ("caught", "divergence in 1 of 20 seeds", measured.one_of_twenty_diverges),
        *(("caught", what, measured.mistake(pairs)) for what, pairs in measured.pool.mistakes.items()),
    ]
    if worse := measured.really_worse():
        what = (
            f"such noise, the {len(worse)} of {len(measured.noisy)} draws that made a mean loss worse beyond tolerance"
        )
        kinds.append(("caught", what, measured.mistake(worse)))
    for kind, what, resampled in kinds:
        random = np.random.default_rng(SEED)
        aim, count = (0.01, comparisons) if kind == "false alarms" else (0.95, faults)
        yield kind, what, aim, sum(compare(*resampled(random)).exit_code == 1 for _ in range(count)), count


def main(
    folder: Annotated[Path, typer.Option(help="Where the trajectories are kept.")] = Path("results/error-rates"),
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Shipped checkpoints of the LSTM; all unless given.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="How often the weights are perturbed anew.")] = 20,
    most_seeds: Annotated[int, typer.Option(min=2, help="Seeds of a task that are really run.")] = 4000,
    comparisons: Annotated[int, typer.Option(min=1, help="Comparisons of each kind without a fault.")] = 1000,
    faults: Annotated[int, typer.Option(min=1, help="Comparisons of each kind with a fault.")] = 200,
) -> None:
    """Print how often the gate fails where nothing got worse, and where something did."""
    set_up_process()
    for name in checkpoint or [name for name in shipped_checkpoints() if rule_of_checkpoint(name) == "lstm"]:
        measured = Measured(build(name, folder, draws, most_seeds, lambda line: typer.echo(line, err=True)))
        typer.echo(f"\n{name}\n\n| | | aim | measured | of | 95 % interval |\n| --- | --- | --- | ---: | ---: | ---: |")
        for kind, what, aim, failed, count in measure(measured, comparisons, faults):
            low, high = stats.binomtest(failed, count).proportion_ci()
            sign = "≤" if kind == "false alarms" else "≥"
            typer.echo(
                f"| {kind} | {what} | {sign} {aim:.0%} | {failed / count:.1%} | {count:,} | {low:.1%} – {high:.1%} |"
            )
        ratios = measured.step_time_ratios()
        typer.echo(f"\nstep time of the same code in one pass: × {min(ratios):.2f} to × {max(ratios):.2f}")


if __name__ == "__main__":
    typer.run(main)
