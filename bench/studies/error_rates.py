"""The error rates of the gate, measured: `python -m l2obench.bench.studies.error_rates --to docs/error_rates.csv`.

Each comparison is one run of the gate: its tasks for one shipped checkpoint, with its numbers of seeds, drawn with
replacement from real trajectories (`bench/studies/pools.py`). The verdict comes from the code that `check` uses.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy import stats

from l2obench.bench.config.suite import load_suite
from l2obench.bench.config.task_facts import task_facts
from l2obench.bench.gate.clocks import Clock
from l2obench.bench.gate.side import Recorded, read_side
from l2obench.bench.gate.verdict import compare
from l2obench.bench.process import set_up_process
from l2obench.bench.store.files import write_atomically
from l2obench.bench.studies.pools import Pool, build
from l2obench.optimizers import rule_of_checkpoint, shipped_checkpoints

# Every kind of comparison begins with the same seed: kinds then differ by their faults, not by their samples.
SEED = 20161130
Pair = tuple[list[Recorded], list[Recorded]]
"""The cells of BASE and of HEAD, task by task, on the same seeds."""
Resampled = Callable[[np.random.Generator], Pair]


class PooledCells:
    """The cells of a pool by optimizer, and comparisons drawn from them.

    Args:
        pool: real trajectories of one checkpoint, and of the same with faults.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.seeds = {cell.key[0]: cell.seeds for cell in load_suite("gate").cells()}
        self.cells: dict[str, list[Recorded]] = {}
        rebatched = [
            replace(cell, key=(cell.key[0], _REBATCHED, cell.key[2])) for cell in read_side(pool.rounded.folder)
        ]
        for cell in sorted([*read_side(pool.run.folder), *rebatched], key=lambda cell: cell.key):
            self.cells.setdefault(cell.key[1], []).append(cell)
        self.noisy = next(pairs for what, pairs in pool.mistakes.items() if "noise" in what)

    def pair(self, base: str, head: str, random: np.random.Generator, seeds: int | None = None) -> Pair:
        """Both optimizers on the same seeds, drawn with replacement.

        Args:
            base: the optimizer of BASE.
            head: the optimizer of HEAD.
            random: draws the seeds.
            seeds: of every task; None: those of the suite `gate`.
        """
        sides: Pair = ([], [])
        for before, after in zip(self.cells[base], self.cells[head], strict=True):
            drawn = random.integers(len(before.rows), size=seeds or self.seeds[before.key[0]])
            for side, cell in zip(sides, (before, after), strict=True):
                side.append(_with(cell, cell.rows.iloc[drawn]))
        return sides

    def same_weights(self, random: np.random.Generator) -> Pair:
        """Compare the shipped checkpoint with itself in other batches of replicas: only rounding differs.

        Args:
            random: draws the seeds.
        """
        return self.pair(self.pool.shipped, _REBATCHED, random)

    def swapped(self, random: np.random.Generator) -> Pair:
        """Compare two optimizers, swapped by a coin for each seed: no side is worse, pairs differ as under 5 % noise.

        Args:
            random: draws the seeds.
        """
        base, head = self.pair(*self.noisy[random.integers(len(self.noisy))], random)
        coins = [random.random(len(cell.rows)) < 0.5 for cell in base]
        return (
            [_mixed(a, b, coin) for a, b, coin in zip(base, head, coins, strict=True)],
            [_mixed(b, a, coin) for a, b, coin in zip(base, head, coins, strict=True)],
        )

    def other_functions(self, random: np.random.Generator) -> Pair:
        """Compare the shipped checkpoint with itself on other functions: the seeds are not paired.

        Args:
            random: draws the seeds.
        """
        once = self.pair(self.pool.shipped, self.pool.shipped, random)[0]
        return once, self.pair(self.pool.shipped, self.pool.shipped, random)[0]

    def worse_by_a_tenth(self, pairs: Resampled) -> Resampled:
        """Draw the same comparisons, with every final loss of HEAD 10 % higher.

        Args:
            pairs: comparisons to change.
        """

        def resampled(random: np.random.Generator) -> Pair:
            base, head = pairs(random)
            return base, [_with(cell, cell.rows.assign(final_loss=cell.rows["final_loss"] * 1.1)) for cell in head]

        return resampled

    def one_of_twenty_diverges(self, random: np.random.Generator) -> Pair:
        """Draw twenty seeds on every task; on one task, one of them diverges.

        Args:
            random: draws the seeds.
        """
        base, head = self.pair(self.pool.shipped, _REBATCHED, random, seeds=20)
        diverging = int(random.integers(len(head)))
        rows = head[diverging].rows.copy()
        rows.loc[random.integers(20), ["status", "final_loss"]] = "diverged", np.inf
        head[diverging] = replace(head[diverging], rows=rows)
        return base, head

    def one_of_a_hundred_is_lost(self, random: np.random.Generator) -> Pair:
        """Draw a hundred seeds on every task; on one task, one of them ends 10⁵ times as high as the highest.

        Args:
            random: draws the seeds.
        """
        base, head = self.pair(self.pool.shipped, _REBATCHED, random, seeds=100)
        lost = int(random.integers(len(head)))
        rows = head[lost].rows.copy()
        rows.loc[random.integers(100), "final_loss"] = 1e5 * rows["final_loss"].abs().max()
        head[lost] = replace(head[lost], rows=rows)
        return base, head

    def mistake(self, pairs: list[tuple[str, str]]) -> Resampled:
        """Draw comparisons of one pair of optimizers, BASE and HEAD, anew each time.

        Args:
            pairs: that of BASE and HEAD.
        """

        def resampled(random: np.random.Generator) -> Pair:
            return self.pair(*pairs[random.integers(len(pairs))], random)

        return resampled

    def really_worse(self) -> list[tuple[str, str]]:
        """The draws of noise that are a regression: the mean loss over all seeds rose beyond tolerance on some task."""
        return [pair for pair in self.noisy if any(self._rose(*cells) for cells in self._tasks(*pair))]

    def _tasks(self, base: str, head: str) -> Iterator[tuple[Recorded, Recorded]]:
        return zip(self.cells[base], self.cells[head], strict=True)

    @staticmethod
    def _rose(before: Recorded, after: Recorded) -> bool:
        means = [float(cell.rows["final_loss"].mean()) for cell in (before, after)]
        return means[1] > means[0] * (1 + task_facts(before.key[0]).tolerance)


_REBATCHED = "the shipped checkpoint, in other batches"


def _mixed(first: Recorded, second: Recorded, coin: NDArray[np.bool_]) -> Recorded:
    """The rows of the second cell where the coin is heads, else those of the first."""
    return _with(
        first, pd.DataFrame({name: np.where(coin, second.rows[name], first.rows[name]) for name in first.rows})
    )


def _with(cell: Recorded, rows: pd.DataFrame) -> Recorded:
    """A cell with other rows, under a name that both sides share, with seeds renumbered and without step times."""
    task, _, track = cell.key
    return replace(cell, key=(task, "optimizer", track), rows=rows.reset_index(drop=True), clock=Clock("", {}))


def measure(
    name: str, pooled: PooledCells, comparisons: int, faults: int, report: Callable[[str], Any] = lambda _: None
) -> pd.DataFrame:
    """One row for each kind of comparison: how many failed, were inconclusive and passed, of how many.

    Args:
        name: the checkpoint, the first column.
        pooled: the cells to draw from.
        comparisons: of each kind without a fault.
        faults: comparisons of each kind with a fault.
        report: called with a line for each row.
    """
    same, swapped = pooled.same_weights, pooled.swapped
    kinds: list[tuple[str, str, Resampled]] = [
        ("no change", "the same weights, rounded otherwise", same),
        ("no change", "sides exchanged by a coin for every seed", swapped),
        ("no change", "unrelated functions on the two sides", pooled.other_functions),
        ("fault", "final loss 10 % worse", pooled.worse_by_a_tenth(same)),
        ("fault", "final loss 10 % worse, sides exchanged by a coin", pooled.worse_by_a_tenth(swapped)),
        ("fault", "divergence in 1 of 20 seeds", pooled.one_of_twenty_diverges),
        ("fault", "1 of 100 seeds 10⁵ times as high", pooled.one_of_a_hundred_is_lost),
        *(("fault", what, pooled.mistake(pairs)) for what, pairs in pooled.pool.mistakes.items()),
    ]
    if worse := pooled.really_worse():
        what = f"such noise, the {len(worse)} of {len(pooled.noisy)} draws that made a mean loss worse beyond tolerance"
        kinds.append(("fault", what, pooled.mistake(worse)))
    rows = []
    for kind, what, resampled in kinds:
        random = np.random.default_rng(SEED)
        count = comparisons if kind == "no change" else faults
        # 1 is a regression, 5 inconclusive: docs/ci.md.
        codes = [compare(*resampled(random)).exit_code for _ in range(count)]
        failed, inconclusive = codes.count(1), codes.count(5)
        low, high = stats.binomtest(failed, count).proportion_ci()
        row = {"failed": failed, "inconclusive": inconclusive, "of": count, "low": low, "high": high}
        rows.append({"checkpoint": name, "kind": kind, "comparison": what, **row})
        report(str(rows[-1]))
    return pd.DataFrame(rows)


def add_rows(to: Path, name: str, rows: pd.DataFrame) -> None:
    """Write the rows of a checkpoint to a CSV file, in place of those that it has of the same checkpoint.

    Args:
        to: the CSV file.
        name: of the checkpoint.
        rows: of the error rates.
    """
    kept = pd.read_csv(to) if to.exists() else rows.iloc[:0]
    parts: Sequence[pd.DataFrame] = [part for part in (kept[kept["checkpoint"] != name], rows) if len(part)]
    write_atomically(to, pd.concat(parts).to_csv(index=False, float_format="%.4g").encode())


def format_rates(rows: pd.DataFrame) -> str:
    """The rates of one checkpoint as a table in Markdown, shares in per cent with their 95 % interval.

    Args:
        rows: from `measure`.
    """
    lines = [f"| `{rows['checkpoint'].iloc[0]}` | check | fails | is inconclusive | of |", "|---|---|---|---|---|"]
    for row in rows.to_dict("records"):
        rate = f"{row['failed'] / row['of']:.1%} ({row['low']:.1%} – {row['high']:.1%})"
        unclear = f"{row['inconclusive'] / row['of']:.1%}"
        lines.append(f"| {row['kind']} | {row['comparison']} | {rate} | {unclear} | {row['of']:,} |")
    return "\n".join(lines)


def main(
    folder: Annotated[Path, typer.Option(help="Folder to keep the trajectories in.")] = Path("results/error-rates"),
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Shipped checkpoint of the LSTM. Repeatable. Unless given, all.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Number of random perturbations of the weights.")] = 20,
    most_seeds: Annotated[int, typer.Option(min=2, help="Maximum number of seeds of a task that are run.")] = 4000,
    comparisons: Annotated[int, typer.Option(min=1, help="Number of comparisons of each kind without a fault.")] = 1000,
    faults: Annotated[int, typer.Option(min=1, help="Number of comparisons of each kind with a fault.")] = 200,
    to: Annotated[Path | None, typer.Option(help="CSV file that keeps the rows of each checkpoint.")] = None,
) -> None:
    """Print how often the gate fails without a regression, and with one."""
    set_up_process()

    def report(line: str) -> None:
        typer.echo(line, err=True)

    for name in checkpoint or [name for name in shipped_checkpoints() if rule_of_checkpoint(name) == "lstm"]:
        pooled = PooledCells(build(name, folder, draws, most_seeds, report))
        rows = measure(name, pooled, comparisons, faults, report)
        if to is not None:
            add_rows(to, name, rows)
        typer.echo(f"\n{format_rates(rows)}")


if __name__ == "__main__":
    typer.run(main)
