"""The answer of a report: what each learned optimizer does on all tasks, as one value for page, terminal and JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats.verdict import ENOUGH
from l2obench.reports.numbers.by_task import TO_ADAM, UNKNOWN
from l2obench.reports.numbers.counting import groups
from l2obench.reports.numbers.familiarity import KIN, OTHERS, TRAINED
from l2obench.reports.numbers.tally import NOT_COMPARABLE, Tally, side_of, tally

SIGNIFICANT = 0.05
MOST_SHOWN = 5
"""Learned optimizers that a first screen has room for."""


@dataclass(frozen=True)
class Baselines:
    """The best baselines of the tasks."""

    names: tuple[str, ...]
    """Their identities, the most frequent first."""
    tuned: bool
    """Whether all of them were tuned."""
    untuned: bool
    """Whether none of them was."""
    ran: int
    """Hand-designed optimizers that ran on a task, the most of all tasks."""
    any_tuned: bool
    """Whether one that ran was tuned, on any task."""


@dataclass(frozen=True)
class Times:
    """Costs in wall-clock time, learned ÷ best baseline: medians over the tasks where both were timed."""

    adam: bool
    """Whether update and step are divided by Adam's, because no best baseline was timed."""
    tasks: int
    """Tasks where both were timed."""
    update: float
    """Time of an update."""
    step: float
    """Time of a step: gradient and update."""
    targets: int
    """Tasks whose best baseline reaches the target loss, and was timed."""
    to_target: float
    """Time to the target loss; infinite where the learned optimizer does not reach it."""
    sooner: int
    """Tasks where the learned optimizer gets there in less time."""
    load_known: bool
    """Whether the load of the machine was recorded while all of them were timed."""


@dataclass(frozen=True)
class Trials:
    """Trials of the best baseline until it is as good as the untuned learned optimizer: medians over tasks."""

    tasks: int
    median: float
    """Expected number of trials; infinite where on half of the tasks no trial matches."""
    never: int
    """Tasks on which no trial matches."""


@dataclass(frozen=True)
class Loss:
    """A task on which the learned optimizer ends higher."""

    task: str
    measure: str
    typical: float


@dataclass(frozen=True)
class Answer:
    """What is said of one learned optimizer in one track, over all tasks of a run."""

    run: str
    """Its label; empty where there is only one run."""
    optimizer: str
    track: str
    baselines: Baselines
    training: Tally | None
    """Final training loss against the best baseline; None where no task has one."""
    in_class: Tally | None
    """The same against the best of its class: baselines that look at nothing more."""
    other_class: int
    """Tasks whose best baseline is not of its class, so that the two comparisons differ."""
    uses: str
    """What it looks at: its class."""
    heldout: Tally | None
    """Held-out loss at the last step; None where no task has one."""
    accuracy: Tally | None
    """Held-out accuracy."""
    times: Times | None
    """None where nothing was timed, or only under load."""
    trials: Trials | None
    """None where the optimizer was tuned itself, or nothing was tried."""
    familiar: dict[str, Tally]
    """Training loss on the tasks that it was trained on, on others of their kind, and held-out families; empty where
    nobody recorded what it was trained on."""
    losses: tuple[Loss, ...]
    """Tasks where it ends higher than the best baseline, the worst first."""
    seeds: tuple[int, int]
    """Fewest and most seeds of a task."""
    failed: int
    """Seeds that failed."""
    ran: int
    """Seeds of all tasks."""


def find_answers(tasks: pd.DataFrame) -> list[Answer]:
    """The answer for each learned optimizer and track, in each run, in the order of the rows.

    Args:
        tasks: as `l2obench.reports.numbers.by_task.by_task` gives them.
    """
    return [_answer(key, rows) for key, rows in groups(tasks, "optimizer", "track")]


def choose(answers: list[Answer], most: int) -> tuple[list[Answer], list[Answer]]:
    """The answers that a first screen has room for, and the others, each in their order.

    Those on the most tasks come first, then those with the lowest median ratio.

    Args:
        answers: all of them.
        most: how many are chosen.
    """

    def rank(answer: Answer) -> tuple[float, float]:
        found = answer.training
        return (-found.tasks, np.inf if np.isnan(found.ratio) else found.ratio) if found else (0.0, np.inf)

    chosen = sorted(answers, key=rank)[:most]
    return [answer for answer in answers if answer in chosen], [answer for answer in answers if answer not in chosen]


def cannot_decide(tasks: pd.DataFrame) -> tuple[int, int] | None:
    """Seeds and comparisons of a table in which no verdict is possible; None where one is.

    With n seeds the smallest p-value of the signed-rank test is 2^(1 − n). Holm's method multiplies it by the number of
    comparisons.

    Args:
        tasks: as `l2obench.reports.numbers.by_task.by_task` gives them.

    Example:
        >>> rows = pd.DataFrame({"verdict": ["no difference"] * 48, "seeds": 10})
        >>> cannot_decide(rows)
        (10, 48)
    """
    decided = tasks[tasks["seeds"].ge(ENOUGH) & ~tasks["verdict"].astype(str).str.startswith(NOT_COMPARABLE)]
    if decided.empty:
        return None
    most = int(decided["seeds"].max())
    return (most, len(decided)) if 2.0 ** (1 - most) * len(decided) > SIGNIFICANT else None


def answer_records(answers: list[Answer]) -> list[dict[str, Any]]:
    """The answers as JSON can hold them: what is not finite is null, as in the tables.

    Args:
        answers: as `find_answers` gives them.
    """
    return [_finite(asdict(answer)) for answer in answers]


def answer_frame(answers: list[Answer]) -> pd.DataFrame:
    """The answers as a table, one row each: nested values become columns such as `training_lower`.

    Args:
        answers: as `find_answers` gives them.
    """
    return pd.DataFrame([_flat(asdict(answer)) for answer in answers])


def _answer(key: Mapping[str, Any], rows: pd.DataFrame) -> Answer:
    against = rows.assign(higher_is_better=False)
    training = tally(against)
    in_class = against.assign(
        verdict=rows["class_verdict"], measure=rows["class_measure"], typical=rows["class_typical"]
    )
    loss = against[rows["heldout_verdict"].notna()]
    loss = loss.assign(
        verdict=loss["heldout_verdict"], measure=loss["heldout_measure"], typical=loss["heldout_typical"]
    )
    accuracy = rows[rows["accuracy_verdict"].notna()]
    accuracy = accuracy.assign(verdict=accuracy["accuracy_verdict"], typical=accuracy["accuracy_difference"])
    parts = {name: tally(against[rows["familiarity"].eq(name)]) for name in (TRAINED, KIN, OTHERS)}
    known = not rows["familiarity"].eq(UNKNOWN).any()
    uses = rows["uses"].dropna()
    return Answer(
        run=str(key.get("run", "")),
        optimizer=str(key["optimizer"]),
        track=str(key["track"]),
        baselines=_baselines(rows),
        training=training,
        in_class=tally(in_class),
        other_class=int((rows["best_of_class"].notna() & rows["best_of_class"].ne(rows["baseline"])).sum()),
        uses=str(uses.iloc[0]) if len(uses) else "not known",
        heldout=tally(loss),
        accuracy=tally(accuracy.assign(measure="difference", higher_is_better=True)),
        times=_times(rows),
        trials=_trials(rows),
        familiar={name: found for name, found in parts.items() if found} if known else {},
        losses=_losses(against),
        seeds=(int(rows["seeds"].min()), int(rows["seeds"].max())),
        failed=int(rows["failures"].sum()),
        ran=int(rows["seeds"].sum()),
    )


def _baselines(rows: pd.DataFrame) -> Baselines:
    tuned = rows.loc[rows["baseline"].notna(), "baseline_track"].map(lambda track: track != "default").astype(bool)
    names = rows["baseline"].dropna().value_counts(sort=True)
    ran = rows["baselines"].fillna(0)
    return Baselines(
        names=tuple(map(str, names.index)),
        tuned=bool(tuned.all()),
        untuned=bool((~tuned).all()),
        ran=int(ran.max()),
        any_tuned=bool(rows["tuned"].fillna(0).gt(0).any()),
    )


def _times(rows: pd.DataFrame) -> Times | None:
    target = rows["target_time_ratio"].astype(float).dropna()
    for adam, names in ((False, ("update_time_ratio", "step_time_ratio")), (True, TO_ADAM)):
        update, step = (rows[name].astype(float).dropna() for name in names)
        if len(step):
            sooner = int(target.lt(1).sum())
            known = bool(rows.loc[step.index, "load_known"].all())
            return Times(adam, len(step), _middle(update), _middle(step), len(target), _middle(target), sooner, known)
    return None


def _trials(rows: pd.DataFrame) -> Trials | None:
    # A baseline that nobody tuned has one trial, which says no more than the comparison itself.
    found = rows.loc[rows["tried"].gt(1), "trials"].astype(float).dropna()
    if found.empty:
        return None
    # The lower of two middle values: the other one may be infinite, and would speak for the learned optimizer.
    return Trials(len(found), float(np.quantile(found, 0.5, method="lower")), int(np.isinf(found).sum()))


def _losses(rows: pd.DataFrame) -> tuple[Loss, ...]:
    columns = (rows["task"].astype(str), rows["measure"].astype(str), rows["typical"].astype(float))
    every = [Loss(*place) for place in zip(*columns, strict=True)]
    found = [loss for loss in every if side_of(loss.measure, loss.typical, False) == 1]
    # Ratios first: a difference has the unit of its task, and is not larger or smaller than a ratio.
    return tuple(sorted(found, key=lambda loss: (loss.measure != "ratio", -loss.typical)))


def _middle(values: "pd.Series[float]") -> float:
    return float(np.median(values)) if len(values) else np.nan


def _flat(value: Mapping[str, Any], beginning: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            found |= _flat(item, f"{beginning}{str(name).replace(' ', '_')}_")
        else:
            found[f"{beginning}{str(name).replace(' ', '_')}"] = item
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
