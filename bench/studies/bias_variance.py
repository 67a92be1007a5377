"""Bias and variance of every estimator against the length of a truncation, where the true meta-gradient is known.

    python -m l2obench.bench.studies.bias_variance docs/images/estimators.png docs/estimators.csv

The rule is gradient descent with one meta-parameter, the logarithm of its rate, on three parabolas
(`l2obench.bench.studies.known`). An estimate is the sum over the truncations of a trajectory, at one φ.
"""

import sys
from pathlib import Path

import pandas as pd
import torch

from l2obench.bench.metatrain.estimators.base import Estimator
from l2obench.bench.metatrain.estimators.bptt import BPTT
from l2obench.bench.metatrain.estimators.es import ES
from l2obench.bench.metatrain.estimators.nres import NRES
from l2obench.bench.metatrain.estimators.pes import PES
from l2obench.bench.metatrain.estimators.second_order import SecondOrderBPTT
from l2obench.bench.process import set_up_process
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.studies.known import Bowl, LearnedRate, true_meta_gradient

# 24 has many divisors, so that truncations of many lengths part a trajectory evenly. At e⁻¹ no function diverges.
STEPS, LOG_RATE, SEEDS = 24, -1.0, (1, 2, 3)
UNROLLS = (1, 2, 4, 8, 12, 24)
PAIRS, ESTIMATES = 16, 40
ESTIMATORS: dict[str, Estimator] = {
    "tbptt": BPTT(),
    "tbptt, second order": SecondOrderBPTT(),
    "es": ES(pairs=PAIRS),
    "pes": PES(pairs=PAIRS),
    "nres": NRES(pairs=PAIRS),
}
COLORS = ["#c1440e", "#e3a008", "#6b7a8f", "#7b3fa0", "#1f6f8b"]


def estimate_once(estimator: Estimator, unroll: int, seed: int) -> float:
    """An estimate of the meta-gradient of log_rate from one trajectory: the sum over its truncations.

    Args:
        estimator: what is studied.
        unroll: steps of a truncation.
        seed: of the perturbations.
    """
    problems, random = Problems(Bowl(), SEEDS, dtype=torch.float64), torch.Generator().manual_seed(seed)
    rule = LearnedRate().with_meta_parameters({"log_rate": torch.tensor(LOG_RATE, dtype=torch.float64)})
    unroll_state, total = estimator.begin(problems, rule, random), 0.0
    for weights in torch.split(torch.ones(STEPS, dtype=torch.float64), unroll):
        estimate = estimator.advance(problems, rule, unroll_state, weights, random)
        unroll_state, total = estimate.unroll_state, total + float(estimate.meta_grads["log_rate"])
    return total


def measure(estimates: int = ESTIMATES) -> pd.DataFrame:
    """A row for each estimator and unroll, all in units of the true meta-gradient.

    `bias` with its `standard_error`, and the `standard_deviation` of an estimate from one antithetic pair.

    Args:
        estimates: trajectories for each row; an estimator without perturbations needs one.
    """
    h = Problems(Bowl(), SEEDS, dtype=torch.float64).minibatch()["h"][:, 0]
    truth = float(true_meta_gradient(h, LOG_RATE, torch.ones(STEPS, dtype=torch.float64)))
    rows: list[tuple[str, int, float, float, float]] = []
    for name, estimator in ESTIMATORS.items():
        repeats = 1 if isinstance(estimator, BPTT | SecondOrderBPTT) else estimates
        for unroll in UNROLLS:
            first = len(rows) * estimates  # perturbations of its own for each row, so that chance is not shared
            samples = torch.tensor([estimate_once(estimator, unroll, first + k) for k in range(repeats)]) / truth
            deviation = float(samples.std()) if repeats > 1 else 0.0
            error = deviation / repeats**0.5
            rows.append((name, unroll, float(samples.mean()) - 1, error, deviation * PAIRS**0.5))
    return pd.DataFrame(rows, columns=["estimator", "unroll", "bias", "standard_error", "standard_deviation"])


def draw(table: pd.DataFrame, path: Path) -> None:
    """The table as a picture.

    Args:
        table: as `measure` gives it.
        path: of the picture; its suffix decides the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for k, (name, color) in enumerate(zip(ESTIMATORS, COLORS, strict=True)):
        rows = table[table["estimator"] == name]
        shifted = rows["unroll"] * 1.03 ** (k - 2)  # error bars beside, not over, each other
        left.errorbar(shifted, rows["bias"], 1.96 * rows["standard_error"], fmt="o-", color=color, label=name)
        if rows["standard_deviation"].any():
            right.plot(rows["unroll"], rows["standard_deviation"], "o-", color=color, label=name)
    left.axhline(0, color="black", linewidth=0.8)
    left.set(title="bias (mean, 95 %)", ylabel="in units of the true meta-gradient")
    right.set(title="standard deviation, one pair", ylim=(0, None))
    for axes in (left, right):
        axes.set(xscale="log", xlabel=f"steps of a truncation; the trajectory has {STEPS}")
        axes.set_xticks(UNROLLS, list(map(str, UNROLLS)))
        axes.minorticks_off()
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    set_up_process()
    table = measure()
    print(table.round(3).to_string(index=False))
    draw(table, Path(sys.argv[1] if len(sys.argv) > 1 else "estimators.png"))
    if len(sys.argv) > 2:
        table.assign(mean=table["bias"] + 1).round(6).to_csv(sys.argv[2], index=False)
