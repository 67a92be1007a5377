"""How cost grows: `python -m tests.benchmarks.growth docs/performance.md` draws a picture and fits exponents.

Replicas, coordinates, horizon and tasks of a meta-batch, each over several decades; time and peak memory of one call.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.measure.load import LoadWatch
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.process import set_up_process
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.bench.store.environment import environment
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.reports.formats import to_markdown
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic
from tests.benchmarks import quiet
from tests.benchmarks.growth_cells import compare_sizes
from tests.benchmarks.memory import peak_bytes
from tests.benchmarks.table import describe_load, put_between

matplotlib.use("Agg")
UNROLL, SAMPLE = 20, 200
FITTED = 3  # the exponent is that of the last so many points, where what is fixed weighs least
Call = Callable[[], Any]


def trained(name: str) -> LearnedOptimizer:
    rule = optimizer_registry().create(f"lstm[checkpoint={name}]")
    assert isinstance(rule, LearnedOptimizer)
    return rule


def replicas(count: int) -> Call:
    return lambda: rollout(Quadratic(horizon=20), trained("quadratic"), range(count), evaluate=False)


def perceptrons(count: int) -> Call:
    """The LSTM's state of 1,000 of them takes 10 GB: more than fits into half of what is free on a small machine."""
    return lambda: rollout(MnistMlp(horizon=5), trained("mnist"), range(count), evaluate=False)


def coordinates(count: int) -> Call:
    rule = LSTM().initialised(torch.Generator().manual_seed(0))

    def run() -> None:
        grad = torch.full((count,), 0.1)
        with torch.no_grad():
            rule.update_tensor(grad, rule.init_tensor(grad), grad)

    return run


def horizon(count: int) -> Call:
    return lambda: rollout(Quadratic(horizon=count), Adam(), range(10), evaluate=False)


def meta_batch(count: int) -> Call:
    task, rule = MnistMlp(), trained("mnist")

    def run() -> None:
        problems = Problems(task, range(count))
        with torch.no_grad():
            carry = start(problems, rule)
        truncated_bptt(problems, rule, carry, torch.ones(UNROLL), SAMPLE, torch.Generator().manual_seed(0))

    return run


CURVES: dict[str, tuple[Callable[[int], Call], list[int]]] = {
    "replicas: quadratics, LSTM, 20 steps": (replicas, [1, 10, 100, 1000, 10_000]),
    "replicas: MNIST MLP, LSTM, 5 steps": (perceptrons, [1, 10, 100, 1000]),
    "coordinates: one LSTM step": (coordinates, [1000, 10_000, 100_000, 1_000_000, 10_000_000]),
    "horizon: quadratics, Adam, 10 replicas": (horizon, [10, 100, 1000, 10_000]),
    f"tasks in a meta-batch: MNIST MLP, unroll {UNROLL}, {SAMPLE} coordinates a tensor": (meta_batch, [1, 4, 16, 64]),
}


def measure(make: Callable[[int], Call], counts: list[int]) -> pd.DataFrame:
    rows = []
    make(counts[0])()
    for count in counts:
        run = make(count)
        began = time.process_time()
        peak = peak_bytes(run)
        rows.append({"count": count, "seconds": time.process_time() - began, "peak_bytes": peak})
    return pd.DataFrame(rows)


def exponent(curve: pd.DataFrame) -> float:
    """The slope of the logarithm of time over the logarithm of size."""
    last = curve.tail(FITTED)
    return float(np.polyfit(np.log(last["count"]), np.log(last["seconds"]), 1)[0])


def draw(curves: dict[str, pd.DataFrame], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(3.1 * len(curves), 3), layout="constrained")
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        what, _, where = name.partition(": ")
        last = curve.iloc[-1]
        axis.plot(curve["count"], last["seconds"] * curve["count"] / last["count"], color="#9aa7b8", label="linear")
        axis.plot(curve["count"], curve["seconds"], "o-", color="#c1440e", label=f"exponent {exponent(curve):.2f}")
        axis.set(xscale="log", yscale="log", xlabel=what, ylabel="CPU seconds")
        axis.set_title("\n".join(where.split(", ", 1)), fontsize=9)
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main(page: Path) -> None:
    set_up_process()
    with LoadWatch() as watch:
        curves = {name: measure(make, counts) for name, (make, counts) in CURVES.items()}
        cells = compare_sizes()
    draw(curves, page.parent / "images" / "growth.png")
    rows = [
        {
            "what grows": name,
            "from … to": f"{curve['count'].iloc[0]:,} … {curve['count'].iloc[-1]:,}",
            "CPU seconds at the end": f"{curve['seconds'].iloc[-1]:.3g}",
            "exponent": f"{exponent(curve):.2f}",
            "peak memory at the end, GiB": f"{curve['peak_bytes'].iloc[-1] / 2**30:.2g}",
        }
        for name, curve in curves.items()
    ]
    made = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {environment('cpu')['processor']}, one thread. "
    made += describe_load(watch.load)
    print(made)
    put_between(page, "growth", f"{to_markdown(pd.DataFrame(rows))}\n{made}")
    put_between(page, "cells", f"{to_markdown(cells)}\n{made}")


def begin() -> None:
    """Read the command line; a busy machine is refused, unless `--busy` is there."""
    parser = argparse.ArgumentParser(description="Measure how cost grows, and write it into a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine all the same")
    given = parser.parse_args()
    reason = None if given.busy else quiet.refusal(quiet.look())
    if reason is not None:
        sys.exit(reason)
    main(given.page)


if __name__ == "__main__":
    begin()
