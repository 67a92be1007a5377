"""Figures of a report, from the numbers of `l2obench.reports.numbers.curves`."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from l2obench.bench.store.run_folder import cell_name
from l2obench.reports.figures.canvas import TITLE_SIGNS, Style, broken, legend, literal, new_figure, save, scale, theme
from l2obench.reports.formats import one_line
from l2obench.reports.numbers.curves import Curve, FinalLosses, Landscape, Scene

# Okabe and Ito's palette, made for all kinds of colour vision; its strongest hue is kept for learned optimizers.
LEARNED_COLOURS = ("#D55E00", "#882255", "#000000")
BASELINE_COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#777777")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
KINDS = ("curves", "final", "seconds", "landscape")


@dataclass(frozen=True)
class Drawn:
    """A figure on disk: `path` lacks its suffix, .svg or .png; `description` says in words what it shows."""

    kind: str
    path: Path
    description: str


def draw_all(scenes: Sequence[Scene], folder: Path) -> list[Drawn]:
    """Draw every task's figures into a folder: `curves`, `final`, `seconds`; `landscape` where something was tuned."""
    styles = line_styles(scenes)
    drawn = []
    for scene in scenes:
        with theme():
            figures = {
                "curves": curves_figure(scene.title, scene.curves, styles, scene.window),
                "final": final_losses_figure(scene.title, scene.spreads, styles),
                "seconds": seconds_figure(scene.title, scene.curves, styles, scene.window),
            }
            if scene.landscapes:
                figures["landscape"] = landscape_figure(scene.title, scene.landscapes, styles)
            for kind, figure in figures.items():
                path = folder / cell_name(kind, *([scene.run] if scene.run else []), scene.task)
                save(figure, path)
                drawn.append(Drawn(kind, path, _description(kind, scene.title, scene.curves)))
    return drawn


def line_styles(scenes: Sequence[Scene]) -> dict[str, Style]:
    """One look for each optimizer, the same in all figures: learned ones thick and in colours of their own."""
    learned = {curve.optimizer: curve.learned for scene in scenes for curve in scene.curves}
    tried = {landscape.optimizer for scene in scenes for landscape in scene.landscapes}
    learned |= dict.fromkeys(tried - learned.keys(), False)
    looks = {
        True: _looks(LEARNED_COLOURS, linewidth=3.0, zorder=4),
        False: _looks(BASELINE_COLOURS, linewidth=1.6, zorder=3),
    }
    return {name: next(looks[learned[name]]) for name in sorted(learned)}


def curves_figure(title: str, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> Figure:
    """Interquartile mean losses against steps, with 95 % bands."""
    figure, axes = new_figure(title)
    for curve in curves:
        style = styles[curve.optimizer]
        axes.plot(curve.steps, curve.middle, **style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"], alpha=0.14, linewidth=0)
    scale(axes.set_yscale, [values for curve in curves for values in (curve.middle, curve.low)])
    axes.set(xlabel="step", ylabel=_loss_label(window))
    axes.margins(x=0.01)
    legend(figure, [(curve.label, styles[curve.optimizer]) for curve in curves])
    return figure


def seconds_figure(title: str, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> Figure:
    """The same losses against the wall-clock seconds of one replica, at the pace of the serial timing pass."""
    figure, axes = new_figure(title)
    timed = [curve for curve in curves if np.isfinite(curve.step_seconds)]
    for curve in timed:
        axes.plot(curve.steps[1:] * curve.step_seconds, curve.middle[1:], **styles[curve.optimizer])
    scale(axes.set_yscale, [curve.middle for curve in timed])
    scale(axes.set_xscale, [curve.steps[1:] * curve.step_seconds for curve in timed])
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="wall-clock time of one replica on this machine", ylabel=_loss_label(window))
    remarks = {True: "", False: " (not timed)"}
    labels = [curve.label + remarks[bool(np.isfinite(curve.step_seconds))] for curve in curves]
    legend(figure, [(label, styles[curve.optimizer]) for label, curve in zip(labels, curves, strict=True)])
    return figure


def final_losses_figure(title: str, spreads: Sequence[FinalLosses], styles: dict[str, Style]) -> Figure:
    """Every seed's final loss as a dot, the mean with its 95 % interval above them; no mean where a seed failed."""
    figure, axes = new_figure(title, height=1.5 + 0.55 * len(spreads))
    for row, spread in enumerate(spreads):
        colour = styles[spread.optimizer]["color"]
        # Dots are spread by multiples of the golden ratio: even, and the same every time.
        height = row + 0.12 + 0.3 * ((np.arange(len(spread.losses)) * 0.618034) % 1)
        axes.plot(spread.losses, height, ".", color=colour, alpha=0.55, markersize=7.5, markeredgewidth=0)
        if np.isfinite(spread.mean):
            axes.plot([spread.low, spread.high], [row - 0.12] * 2, color=colour, linewidth=2.5, solid_capstyle="butt")
            axes.plot(spread.mean, row - 0.12, "D", color=colour, markersize=6.5, markeredgecolor="white")
    scale(axes.set_xscale, [spread.losses for spread in spreads])
    axes.set_yticks(range(len(spreads)), [broken(spread.label) for spread in spreads])
    axes.set_ylim(len(spreads) - 0.4, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("final loss")
    dot = {"marker": ".", "linestyle": "", "color": "#777777", "alpha": 0.6}
    diamond = {"marker": "D", "markeredgecolor": "white", "linewidth": 2.5, "color": "#777777"}
    legend(figure, [("one seed", dot), ("mean, 95 % interval", diamond)])
    return figure


def landscape_figure(title: str, rates: Sequence[Landscape], styles: dict[str, Style]) -> Figure:
    """Mean final loss at every learning rate tried: the chosen one ringed, crosses above where a seed diverged."""
    figure, axes = new_figure(title)
    above = axes.get_xaxis_transform()
    for row, landscape in enumerate(rates):
        style = styles[landscape.optimizer]
        finite = np.isfinite(landscape.means)
        best = landscape.rates == landscape.chosen
        axes.plot(landscape.rates, np.where(finite, landscape.means, np.nan), marker=".", **style)
        ring: Style = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2, "zorder": 5}
        axes.plot(landscape.rates[best & finite], landscape.means[best & finite], "o", color=style["color"], **ring)
        height = np.full((~finite).sum(), 1.03 + 0.24 * row / max(len(rates), 8))
        crosses: Style = {"color": style["color"], "markersize": 4, "transform": above, "clip_on": False}
        axes.plot(landscape.rates[~finite], height, "x", in_layout=False, **crosses)
    if not all(np.isfinite(landscape.means).all() for landscape in rates):
        axes.set_title(literal(title, TITLE_SIGNS), pad=10 + 7.5 * min(len(rates), 8))
    axes.set_xscale("log")
    scale(axes.set_yscale, [landscape.means for landscape in rates])
    axes.set(xlabel="learning rate (○ chosen, × some seed diverged)", ylabel="mean final loss")
    legend(figure, [(landscape.optimizer, styles[landscape.optimizer]) for landscape in rates])
    return figure


def _looks(colours: Sequence[str], **width: float) -> Iterator[Style]:
    """Colours first, then the same ones dashed."""
    return itertools.cycle({"color": colour, "linestyle": dash, **width} for dash in DASHES for colour in colours)


def _loss_label(window: int) -> str:
    return "loss" if window == 1 else f"loss (mean of the last {window} minibatches)"


def _description(kind: str, title: str, curves: Sequence[Curve]) -> str:
    what = {
        "curves": "Loss against step",
        "final": "Final loss of every seed",
        "seconds": "Loss against wall-clock seconds",
        "landscape": "Mean final loss against learning rate",
    }[kind]
    names = ", ".join(curve.label for curve in curves)
    return one_line(f"{what} on {title}" + ("" if kind == "landscape" else f", for {names}"))
