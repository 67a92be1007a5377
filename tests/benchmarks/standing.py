"""Who is faster, by how much and why: written from the rows, the slowest of ours first."""

import math
import re

import pandas as pd

from l2obench.reports.formats import to_markdown
from tests.benchmarks.table import Row

# Rows whose peer is a part or another form of ours show what something costs. They are no race.
OURS = ("ours, eager", "ours, in torch", "its rollouts", "the rule alone", "our Adam", "our LSTM")
# A path and a peer, as patterns, with what decides between them. The first that fits is taken.
REASONS = (
    (
        r"quadratics.*eager",
        "loop",
        "The loop pays Python, a graph and the optimizer for each replica; ours pays once.",
    ),
    (
        r"quadratics.*compiled",
        "JAX",
        "The steps themselves take a third of our time. The rest draws functions, checks guards and allocates buffers; "
        "JAX is given the functions and has one buffer.",
    ),
    (r"MNIST MLP.*steps", "loop", "All rates of a seed share one product; the loop makes as many small ones."),
    (r"MNIST MLP.*steps", "JAX", "Both spend two thirds of the time in matrix products at the speed of the core."),
    (r"convolutional, 16|cifar-cnn", "JAX", "JAX has no fast convolution for replicas on a processor."),
    (
        r"^perceptron|^convolutional|char-transformer|autoencoder",
        "JAX",
        "JAX makes one program of all steps, without calls, and is given its minibatches.",
    ),
    (
        r"^perceptron, 1 |convolutional, 16|cifar-cnn|char-transformer, 4",
        "loop of",
        "Both run one replica after the other.",
    ),
    (r"^perceptron|^convolutional|char-transformer|autoencoder", "loop of", "Ours runs all replicas together."),
    (r"CNN", "loop", "Convolutions are oneDNN's in both; ours saves copies, and gains when compiled."),
    (
        r"meta-training.*PES, fused",
        "JAX",
        "In ours the gates of a coordinate never leave the registers; JAX's program has those of all coordinates in "
        "memory, between the product and what follows it.",
    ),
    (
        r"meta-training.*PES",
        "JAX",
        "JAX has one program for the sums and sigmoids of a step; ours, in torch, takes each to the cache and back.",
    ),
    (
        r"meta-training, whole",
        "JAX",
        "Our backward pass of the LSTM is written by hand; with few coordinates its calls decide.",
    ),
    (
        r"meta-training on two",
        "one process",
        "Each of the two takes 1.03 times half of the processor time, since calls on small tensors are not halved. "
        "Reductions take 0.3 % of it. The rest is waiting for the slower one, at every meta-step.",
    ),
    (r"meta-training", "JAX", "Our backward pass of the LSTM is written by hand, and records only what it needs."),
    (r"meta-training", "PyTorch", "Ours builds no graph, and the rule runs forward once."),
    (r"LSTM, fused", "nn.LSTMCell", "Gates never leave the registers in ours, and three of its divisions are one."),
    (r"LSTM", "nn.LSTMCell", "Ours works in blocks that stay in the cache, and writes nothing twice."),
    (
        r"^Adam",
        "fused",
        "torch's kernel writes into the parameters. Ours returns an update, which is cleared and added.",
    ),
    (
        r"drop-in",
        "torch.optim",
        "Ours makes one pass over all tensors of a group, and looks for gradients that are not finite. torch wraps "
        "every step for hooks and profilers; ours only where there are any.",
    ),
    ("", "naive", "The naive program writes a table of all features to memory."),
    (r"l2obench", "import torch", "The command imports torch only where it computes."),
)


def reason(path: str, peer: str) -> str:
    """Say what decides between ours and a peer; nothing where nobody has looked.

    Args:
        path: of a row.
        peer: of the row.

    Example:
        >>> reason("quadratics, 100 × 100 steps, eager", "torch.optim loop")[:25]
        'The loop pays Python, a g'
    """
    found = (why for in_path, in_peer, why in REASONS if re.search(in_path, path) and in_peer in peer)
    return next(found, "")


def missed(row: Row) -> str | None:
    """Name the target that a row does not reach, the lower one first; none where it reaches all or has none.

    Args:
        row: a row of the table.

    Example:
        >>> missed(Row("a", "b", 1.0, 0.9, "≥ 0.65", "above 1", None, None))
        'above 1'
        >>> missed(Row("a", "b", 0.6, 20.0, "ours ≤ 500 ms", "", None, None))
        'ours ≤ 500 ms'
        >>> missed(Row("a", "b", 3e-4, 2.0, "ours ≤ 20 ns", "ours ≤ 12 ns", None, None, coordinates=16_384))
        'ours ≤ 12 ns'
    """
    if row.ratio is None:
        return None
    for target in (row.reach, row.aim):
        number = re.search(r"[\d.]+", target)
        if number is None:
            continue
        bound = float(number[0])
        # As the table shows the ratio: its fourth digit is noise.
        shown = float(f"{row.ratio:.3g}")
        time = _time_in(target, row)
        reached = shown >= bound if time is None else time <= bound
        if not reached:
            return target
    return None


def describe(rows: list[Row]) -> str:
    """Write the lists of targets, and the table of who is faster.

    Args:
        rows: of one run.
    """
    with_targets = [row for row in rows if row.ratio is not None and (row.reach or row.aim)]
    short = [(row, target) for row in with_targets if (target := missed(row)) is not None]
    races = [row for row in rows if row.ratio is not None and row.peer not in OURS]
    races.sort(key=lambda row: row.ratio or math.inf)
    lost = sum(1 for row in races if (row.ratio or 0) < 1)
    lines = [
        f"{len(with_targets) - len(short)} of {len(with_targets)} rows with a target reach it. "
        f"Ours is slower in {lost} of {len(races)} rows with another program.",
        "",
        *[
            f"- **Not reached**: {row.path}, against {row.peer}: {_state(row, target)}, target {target}."
            for row, target in short
        ],
    ]
    table = pd.DataFrame(
        [
            {
                "path": row.path,
                "other program": row.peer,
                "faster": "ours" if (row.ratio or 0) >= 1 else "the other",
                "by": f"{max(row.ratio or 0, 1 / (row.ratio or math.inf)):.3g} ×",
                "why": reason(row.path, row.peer),
            }
            for row in races
        ]
    )
    return "\n".join([*lines, *([] if not short else [""]), to_markdown(table)])


def _state(row: Row, target: str) -> str:
    time = _time_in(target, row)
    return f"{row.ratio:.3g}" if time is None else f"{time:.3g} {target.split()[-1]}"


def _time_in(target: str, row: Row) -> float | None:
    """Ours in the unit of a target: ns are of one coordinate, ms of the whole. None: the target is a ratio."""
    if not target.startswith("ours"):
        return None
    per_coordinate = row.coordinate_seconds
    return 1e9 * per_coordinate if target.endswith("ns") and per_coordinate is not None else 1e3 * row.seconds
