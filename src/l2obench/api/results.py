"""What a run gives: its tables, its curves, its pictures and its report."""

import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from l2obench.api.locating import find_results
from l2obench.api.naming import BadArgument, require_known
from l2obench.foundation.names import explain_unknown
from l2obench.reports.numbers.against_adam import against_adam
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.answer import answer_frame
from l2obench.reports.numbers.curves import MetricCurve
from l2obench.reports.page.build import write_report
from l2obench.reports.reading import read_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Results:
    """The results of a run, from its folder.

    Args:
        folder: a results folder, of `l2obench.run` or of the command line; or the name of its suite, as in `"quick"`.
        errors: a line for each cell of the last start that failed unexpectedly.
        temporary: a temporary folder that is deleted together with these results.

    Raises:
        ReportError: no cell is finished.
        StoreError: the folder is no run, or is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        errors: Sequence[str] = (),
        temporary: "tempfile.TemporaryDirectory[str] | None" = None,
    ) -> None:
        self.folder = find_results(folder)
        self.errors = list(errors)
        self._temporary = temporary
        self._analysis = Analysis(read_results([self.folder]))

    def frame(self) -> pd.DataFrame:
        """One row for each cell: a task, an optimizer and a track.

        Returns:
            Final losses with their 95 % intervals, seeds that failed, held-out metrics and the learning rate. The
            lowest mean final loss of a task comes first.
        """
        return self._analysis.final_losses.copy()

    def trajectories(self) -> pd.DataFrame:
        """One row for each cell and seed, with its status, its loss at every step, and what it cost.

        Returns:
            The columns are those of a results folder. `loss` holds the losses f(θ_0) … f(θ_T).
        """
        return self._analysis.cells.copy()

    def curves(self, of: str = "loss") -> pd.DataFrame:
        """Learning curves, one row for each point: the interquartile mean over seeds, with its 95 % band.

        Args:
            of: `"loss"` is the training loss. A held-out metric such as `"heldout_loss"` or `"heldout_accuracy"` has a
                row for each step at which it was taken.

        Returns:
            Columns `task`, `optimizer`, `track`, `learned`, `step`, the name of `of`, `low`, `high`. Each optimizer is
            in its tuned track, or in its default one where it has no other. Long curves of losses are thinned to some
            150 points.

        Raises:
            BadArgument: no task of these results has such a curve.
        """
        every: dict[str, list[tuple[str, MetricCurve]]] = {
            "loss": [(plots.task, curve) for plots in self._analysis.plots for curve in plots.curves]
        }
        for plot in self._analysis.heldout_plots:
            every.setdefault(f"heldout_{plot.metric}", []).extend((plot.task, curve) for curve in plot.curves)
        require_known("of", of, list(every))
        rows = [
            (task, curve.optimizer, curve.track, curve.learned, *point)
            for task, curve in every[of]
            for point in zip(curve.steps, curve.middle, curve.low, curve.high, strict=True)
        ]
        columns = ["task", "optimizer", "track", "learned", "step", of, "low", "high"]
        return pd.DataFrame(rows, columns=columns).astype({"step": int})

    def compare(self, against: str = "baseline") -> pd.DataFrame:
        """The headline table: how much lower does each optimizer end?

        Args:
            against: `"baseline"` compares every learned optimizer with the best baseline of its task. `"adam"`
                compares every optimizer with tuned Adam.

        Returns:
            One row for each comparison, with its interval, its seeds and the cost of a step. It is empty where there is
            nothing to compare: no learned optimizer ran, or no Adam.
        """
        require_known("against", against, ["baseline", "adam"])
        return against_adam(self._analysis.cells) if against == "adam" else self._analysis.headline.copy()

    def answer(self) -> pd.DataFrame:
        """The answer over all tasks: one row for each learned optimizer.

        Returns:
            Tasks on which it ends lower than the best baseline, verdicts, the median typical ratio, and the same for
            held-out loss and for what it was trained on; times and trials to match. It is empty where no learned
            optimizer ran.
        """
        return answer_frame(self._analysis.answers)

    def heldout(self) -> pd.DataFrame:
        """Held-out metrics of every learned optimizer against the best tuned baseline of each metric.

        Returns:
            One row for each comparison and metric, with its verdict, the typical ratio or difference, and its interval.
            It is empty where no task has held-out data, or no learned optimizer ran. The means of all optimizers are in
            the report's table `heldout_means`.
        """
        return self._analysis.heldout.copy()

    def budget(self) -> pd.DataFrame:
        """What each optimizer ends with if a user takes the best of k trials, for every k of a budget.

        Returns:
            One row for each task, optimizer, track and k: the expected loss of the best of k trials, quartiles, and the
            share of choices that fail. It is empty where no track is `budget=N`.
        """
        return self._analysis.budget.copy()

    def trials_to_match(self, over_tasks: bool = False) -> pd.DataFrame:
        """How many trials each baseline needs until it is at least as good as a learned optimizer without tuning.

        Args:
            over_tasks: give medians over tasks, and the share of tasks that 1, 5, 10 and 20 trials match.

        Returns:
            One row for each task, learned optimizer, baseline and source of trials, with their cost in passes and
            seconds. Both are infinite where no trial matches. The table is empty where no learned optimizer ran.
        """
        return (self._analysis.matched_over_tasks if over_tasks else self._analysis.trials_to_match).copy()

    def recipes(self) -> pd.DataFrame:
        """Recipes of which several trainings ran, against the best tuned baseline of each task.

        Returns:
            One row for each recipe and task: the typical ratio over trainings and seeds with its interval, the spread
            between trainings, and the verdict. It is empty where no two checkpoints are of one recipe.
        """
        return self._analysis.recipe_verdicts.copy()

    def plot(self, task: str | None = None, axes: "Axes | None" = None, kind: str = "curves") -> "list[Axes]":
        """Plot the learning curves of each task, or the ratios to the best baseline on all tasks.

        Args:
            task: the identity of the only task to plot; None: all tasks.
            axes: where to draw, curves of one task or ratios; None: in new figures of pyplot.
            kind: `"curves"`: interquartile means of the training loss with 95 % bands, one axes for each task.
                `"ratios"`: each learned optimizer's typical ratio to the best baseline, one axes with a row for each
                task.

        Returns:
            The axes of matplotlib, in the order of the tasks.

        Raises:
            BadArgument: no such kind or task, several tasks are to share one axes, or there are no ratios.
        """
        from l2obench.api.plotting import plot_curves, plot_ratios

        require_known("kind", kind, ["curves", "ratios"])
        plots = self._analysis.plots
        chosen = [each for each in plots if task in (None, each.task)]
        if not chosen:
            raise BadArgument(explain_unknown("task of these results", str(task), self.tasks))
        if kind == "ratios":
            tasks = self._analysis.by_task
            tasks = tasks[tasks["measure"].eq("ratio") & tasks["typical"].notna()]
            tasks = tasks if task is None else tasks[tasks["task"] == task]
            if tasks.empty:
                raise BadArgument(
                    "ratios need a learned optimizer and a baseline on a task, got none. Try: plot(kind='curves')"
                )
            return plot_ratios(tasks, plots, axes)
        if axes is not None and len(chosen) > 1:
            raise BadArgument(f"task must name one task where axes are given, got None. Try: task={chosen[0].task!r}")
        return plot_curves(chosen, plots, axes)

    def report(self, out: str | Path | None = None, figures: Sequence[str] = ()) -> Path:
        """Write the report: a page that loads nothing from the network, and its tables.

        Args:
            out: the folder of the report; None: `report` in the results folder.
            figures: formats of figures that are also written as files: `"pdf"`, `"png"`, `"svg"`.

        Returns:
            The page, `index.html`.

        Raises:
            BadArgument: the results are temporary and `out` is not given.
            ReportError: `out` holds something that is no report, or can't be written.
        """
        if out is None and self._temporary is not None:
            raise BadArgument("out must be a folder, got None: these results are temporary. Try: report(out='report')")
        return write_report([self.folder], out or self.folder / "report", figures).page

    @property
    def tasks(self) -> list[str]:
        """The identities of the tasks that ran."""
        return list(dict.fromkeys(self._analysis.cells["task"]))

    @property
    def optimizers(self) -> list[str]:
        """The identities of the optimizers that ran."""
        return list(dict.fromkeys(self._analysis.cells["optimizer"]))

    @cached_property
    def failures(self) -> int:
        """Seeds of all cells that diverged, raised an error or took too long."""
        return int(self._analysis.cells["status"].ne("ok").sum())

    def __repr__(self) -> str:
        return (
            f"Results({str(self.folder)!r}): {len(self.tasks)} tasks, {len(self.optimizers)} optimizers, "
            f"{len(self._analysis.cells)} trajectories, {self.failures} failed"
        )

    def _repr_html_(self) -> str:
        """What ran, the answer in a sentence for each learned optimizer, and the first rows of the headline table."""
        from l2obench.api.notebook import describe_html

        return describe_html(self._analysis)
