"""The figure of the performance profiles, from the numbers of `l2obench.reports.numbers.profiles`."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from l2obench.reports.figures.canvas import new_figure, plot_line
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.labels import End, name_lines
from l2obench.reports.figures.styles import Style
from l2obench.reports.numbers.profiles import Profile

KIND = "profile"


def profile_drawings(profiles: Sequence[Profile], styles: dict[str, Style]) -> list[Drawing]:
    """A figure for every task and measure.

    Args:
        profiles: of all tasks; none where tuned Adam did not run.
        styles: the line style of each optimizer, as `l2obench.reports.figures.styles.line_styles` gives it.
    """
    together: dict[tuple[str | None, str, str], list[Profile]] = {}
    for profile in profiles:
        together.setdefault((profile.run, profile.task, profile.measure), []).append(profile)
    found = []
    for (run, task, measure), members in together.items():
        title = task if run is None else f"{task} in {run}"
        names = ", ".join(profile.optimizer for profile in members)
        words = f"Share of functions at the target on {title} against {measure} divided by tuned Adam's, for {names}"
        key = [*([] if run is None else [run]), task, measure]
        make = partial(profile_figure, title, members, styles)
        found.append(drawing(KIND, key, words, make, partial(profile_numbers, members)))
    return found


def profile_numbers(members: Sequence[Profile]) -> pd.DataFrame:
    """The share of functions that each optimizer solves, with its interval, at every τ.

    Args:
        members: profiles of one task in one measure, at least one.
    """
    parts = [
        pd.DataFrame(
            {
                "optimizer": profile.optimizer,
                "measure": profile.measure,
                "tau": profile.taus,
                "share": profile.shares.estimate,
                "low": profile.shares.low,
                "high": profile.shares.high,
            }
        )
        for profile in members
    ]
    return pd.concat(parts, ignore_index=True)


def profile_figure(title: str, members: Sequence[Profile], styles: dict[str, Style]) -> Figure:
    """Shares solved against τ on a binary logarithm, with 95 % bands; the reference's own cost is the line at 1.

    Args:
        title: what the profiles are of.
        members: profiles of one task in one measure, at least one.
        styles: the line style of each optimizer.
    """
    figure, axes = new_figure(title, note="share of functions solved, pointwise 95 % intervals")
    axes.axvline(1, color="#999999", linewidth=1, zorder=1)
    for profile in members:
        style, shares = styles[profile.optimizer], profile.shares
        plot_line(axes, profile.taus, shares.estimate, style, drawstyle="steps-post")
        bounds: Style = {"color": style["color"], "alpha": 0.10, "linewidth": 0, "step": "post"}
        begun = shares.estimate > 0  # bands of those that have solved nothing yet would lie on each other
        axes.fill_between(profile.taus, shares.low, shares.high, where=begun, **bounds)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=16))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tau, _: f"{tau:g}" if tau >= 1 else f"1/{1 / tau:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    axes.set(xlim=(members[0].taus[0], members[0].taus[-1]), ylim=(-0.02, 1.02))
    axes.set(xlabel=f"τ = {members[0].measure} to the target ÷ tuned Adam's", ylabel="functions solved within τ")
    order = np.argsort([-profile.solved for profile in members], kind="stable")
    ends = [
        End(members[k].optimizer, members[k].taus[-1], members[k].shares.estimate[-1], styles[members[k].optimizer])
        for k in order
    ]
    name_lines(figure, axes, ends)
    return figure
