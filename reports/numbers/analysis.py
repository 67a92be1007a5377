"""The results of a report, and the numbers that several of its sections use, each computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from l2obench.reports.cells.table import CellTable
from l2obench.reports.numbers.answer import MOST_SHOWN, Answer, choose, find_answers
from l2obench.reports.numbers.between import between, count_between
from l2obench.reports.numbers.budget import best_of_trials
from l2obench.reports.numbers.by_task import by_task
from l2obench.reports.numbers.curves import TaskPlots, task_plots
from l2obench.reports.numbers.final_losses import final_losses
from l2obench.reports.numbers.headline import headline
from l2obench.reports.numbers.heldout import heldout
from l2obench.reports.numbers.heldout_curves import HeldoutPlot, heldout_plots
from l2obench.reports.numbers.profiles import CostRatios, Profile, all_cost_ratios, profiles
from l2obench.reports.numbers.recipe_verdicts import recipe_verdicts
from l2obench.reports.numbers.step_times import step_times
from l2obench.reports.numbers.time_to_target import time_to_target
from l2obench.reports.numbers.trials_to_match import matched_over_tasks, trials_to_match
from l2obench.reports.numbers.tuning import tuning
from l2obench.reports.reading import ReportData


@dataclass(frozen=True)
class Analysis:
    """What every section of a report is made from."""

    results: ReportData

    @property
    def cells(self) -> pd.DataFrame:
        """One row a trajectory."""
        return self.results.cells

    @cached_property
    def table(self) -> CellTable:
        """The same rows by task and cell."""
        return CellTable(self.cells)

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Manifests by the label of their run."""
        return self.results.manifests

    @cached_property
    def headline(self) -> pd.DataFrame:
        """Every learned optimizer against the best baseline of its task."""
        return headline(self.table)

    @cached_property
    def heldout(self) -> pd.DataFrame:
        """Held-out metrics of every learned optimizer against the best baseline of each metric."""
        return heldout(self.table, self.manifests)

    @cached_property
    def by_task(self) -> pd.DataFrame:
        """A row for each task and learned optimizer, with all that is said of it."""
        return by_task(
            self.table,
            self.manifests,
            self.headline,
            self.heldout,
            self.time_to_target,
            self.step_times,
            self.results.timing,
            self.trials_to_match,
        )

    @cached_property
    def answers(self) -> list[Answer]:
        """What each learned optimizer does over all tasks."""
        return find_answers(self.by_task)

    @cached_property
    def shown(self) -> tuple[list[Answer], list[Answer]]:
        """The answers that a first screen has room for, and the others."""
        return choose(self.answers, MOST_SHOWN)

    @cached_property
    def between(self) -> pd.DataFrame:
        """The learned optimizers of the first screen against each other, task by task."""
        return between(self.table, self.manifests, self.shown[0])

    @cached_property
    def between_counts(self) -> pd.DataFrame:
        """The same, counted over tasks."""
        return count_between(self.between)

    @cached_property
    def recipe_verdicts(self) -> pd.DataFrame:
        """Recipes of which several trainings ran, against the best baseline of each task."""
        return recipe_verdicts(self.table, self.manifests)

    @cached_property
    def final_losses(self) -> pd.DataFrame:
        """Final losses of every optimizer in every track."""
        return final_losses(self.table)

    @cached_property
    def time_to_target(self) -> pd.DataFrame:
        """Steps and seconds to the target loss of every task."""
        return time_to_target(self.table)

    @cached_property
    def step_times(self) -> pd.DataFrame:
        """Time of one step of every optimizer."""
        return step_times(self.results.timing, self.table)

    @cached_property
    def tuning(self) -> pd.DataFrame:
        """The learning rates that tuning chose."""
        return tuning(self.results.tuning)

    @cached_property
    def budget(self) -> pd.DataFrame:
        """What the best of k trials ends with."""
        return best_of_trials(self.results.trials)

    @cached_property
    def trials_to_match(self) -> pd.DataFrame:
        """Trials until a baseline is at least as good as a learned optimizer, task by task."""
        return trials_to_match(self.table, self.results.tuning, self.results.trials)

    @cached_property
    def matched_over_tasks(self) -> pd.DataFrame:
        """The same over all tasks."""
        return matched_over_tasks(self.trials_to_match)

    @cached_property
    def plots(self) -> list[TaskPlots]:
        """Learning curves, final losses and learning-rate landscapes of every task."""
        return task_plots(self.table, self.results.tuning)

    @cached_property
    def heldout_plots(self) -> list[HeldoutPlot]:
        """Held-out metrics over the steps, of every task and metric that the runs recorded."""
        return heldout_plots(self.table, self.results.heldout, self.manifests)

    @cached_property
    def profiles(self) -> list[Profile]:
        """Performance profiles of every task and over all of them."""
        return profiles(self.cost_ratios)

    @cached_property
    def cost_ratios(self) -> list[CostRatios]:
        """Costs of every optimizer on every seed, divided by tuned Adam's."""
        return all_cost_ratios(self.table)
