"""How each optimizer is drawn: one colour, one dash and one marker in all figures and charts of a report.

Learned optimizers have warm colours, solid thick lines and filled markers. Baselines have cool colours, dashed thin
lines and open markers. So they differ for every kind of colour vision, and in a print without colours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from l2obench.reports.numbers.curves import TaskPlots

Style = dict[str, Any]
"""Arguments of a line of matplotlib."""

PALETTES: dict[str, dict[str, tuple[str, ...]]] = {
    "light": {
        "learned": ("#D55E00", "#882255", "#0B0B0B"),
        "baseline": ("#0072B2", "#009E73", "#332288", "#9C6ADE", "#5C5A00", "#7A7F87"),
    },
    "dark": {
        "learned": ("#FF8A3D", "#FF9EC9", "#FFFFFF"),
        "baseline": ("#3F9EE8", "#2FC79A", "#8F7BFF", "#D6C8FF", "#E0D98A", "#9AA4AE"),
    },
}
"""Colours by background and kind. The first are those of Okabe & Ito; all have 3:1 contrast (WCAG 2.2, 1.4.11)."""
BACKGROUNDS = {"light": ("#ffffff", "#f6f7f9"), "dark": ("#1b212a", "#12161c")}
"""What charts are drawn on: panels and the page."""
HEAT = {
    "light": ("#a79cd1", "#c9c2e6", "#e6e3f3", "#eceff3", "#fdebd0", "#f9c98a", "#f0a255"),
    "dark": ("#5b4b9e", "#4a4186", "#38355f", "#323b48", "#54452f", "#714d20", "#8a4f14"),
}
"""Colours of the page's map of ratios, from far below 1 to far above, as those of `ratio_colours` in a figure."""
SURFACE = "#fefefe"
"""White inside a figure: of open markers, and around filled ones."""
DASHES: dict[str, tuple[tuple[float, ...], ...]] = {
    "learned": ((), (9, 2)),
    "baseline": ((4, 1.5), (1.3, 1.3), (5, 1.5, 1.3, 1.5), (2.5, 1.2)),
}
"""Lengths of strokes and gaps, in widths of the line; nothing: a solid line."""
MARKERS: dict[str, tuple[str, ...]] = {"learned": ("o", "s", "D", "P", "X"), "baseline": ("^", "v", "<", ">", "p", "h")}
SHAPES = {
    "o": "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "s": "M-.9,-.9H.9V.9H-.9Z",
    "D": "M0,-1.2L1.2,0L0,1.2L-1.2,0Z",
    "P": "M-.4,-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "X": "M0,-.5L.6,-1.1L1.1,-.6L.5,0L1.1,.6L.6,1.1L0,.5L-.6,1.1L-1.1,.6L-.5,0L-1.1,-.6L-.6,-1.1Z",
    "^": "M0,-1.1L1.1,.9H-1.1Z",
    "v": "M0,1.1L1.1,-.9H-1.1Z",
    "<": "M-1.1,0L.9,-1.1V1.1Z",
    ">": "M1.1,0L-.9,-1.1V1.1Z",
    "p": "M0,-1.1L1.05,-.34L.65,.89H-.65L-1.05,-.34Z",
    "h": "M0,-1.1L.95,-.55V.55L0,1.1L-.95,.55V-.55Z",
}
"""Markers as SVG paths in a square from -1 to 1, for the page."""
WIDTHS = {"learned": 2.4, "baseline": 1.3}


@dataclass(frozen=True)
class Look:
    """The place of an optimizer's colour, dash and marker in the tables above."""

    learned: bool
    colour: int
    dash: int
    marker: int

    @property
    def kind(self) -> str:
        """`learned` or `baseline`, as the tables above name them."""
        return "learned" if self.learned else "baseline"


def looks(learned: Mapping[str, bool]) -> dict[str, Look]:
    """Give every optimizer a look of its own, by its name among those of its kind.

    Args:
        learned: whether it is, by name; all optimizers of the report.

    Example:
        >>> looks({"sgd": False, "lstm": True, "adam": False})["sgd"]
        Look(learned=False, colour=1, dash=0, marker=1)
    """
    found, places = {}, {True: 0, False: 0}
    for name in sorted(learned):
        kind = "learned" if learned[name] else "baseline"
        place, colours = places[learned[name]], len(PALETTES["light"][kind])
        dash = place // colours % len(DASHES[kind])
        found[name] = Look(learned[name], place % colours, dash, place % len(MARKERS[kind]))
        places[learned[name]] += 1
    return found


def optimizers_of(plots: Sequence[TaskPlots]) -> dict[str, bool]:
    """Whether each optimizer of a report is learned, by name, those that were only tuned among them.

    Args:
        plots: all tasks of the report.
    """
    learned = {curve.optimizer: curve.learned for task in plots for curve in task.curves}
    tried = {landscape.optimizer for task in plots for landscape in task.landscapes}
    return learned | dict.fromkeys(tried - learned.keys(), False)


def line_styles(plots: Sequence[TaskPlots]) -> dict[str, Style]:
    """One line style for each optimizer, the same in all figures.

    Args:
        plots: all tasks of the report, so that an optimizer has one style on every page.
    """
    return {name: line_style(look) for name, look in looks(optimizers_of(plots)).items()}


def line_style(look: Look) -> Style:
    """A look as matplotlib draws it.

    Args:
        look: of an optimizer.
    """
    colour, dash = PALETTES["light"][look.kind][look.colour], DASHES[look.kind][look.dash]
    return {
        "color": colour,
        "linestyle": (0, dash) if dash else "-",
        "linewidth": WIDTHS[look.kind],
        "zorder": 4 if look.learned else 3,
        "marker": MARKERS[look.kind][look.marker],
        "markersize": 4.5,
        "markerfacecolor": colour if look.learned else SURFACE,
        "markeredgecolor": colour,
        "markeredgewidth": 1.0,
    }


def without_marker(style: Style) -> Style:
    """A style for a line that has no points to mark, such as a horizontal one.

    Args:
        style: as `line_style` gives it.
    """
    return {name: value for name, value in style.items() if not name.startswith("marker")}


def marks_of(style: Style) -> tuple[float, float]:
    """Where a long line has its markers, as `markevery`: six along it, not at the same places as other lines.

    Args:
        style: as `line_style` gives it.
    """
    return 0.02 + 0.025 * list(SHAPES).index(style["marker"]) % 0.16, 0.16


def page_styles(learned: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """The looks as the page's script draws them: its colours are named, for it has two sets of them.

    Args:
        learned: as for `looks`.
    """
    return {
        name: {
            "learned": look.learned,
            "colour": f"--{look.kind}-{look.colour}",
            "dash": [round(2 * length, 1) for length in DASHES[look.kind][look.dash]],
            "shape": SHAPES[MARKERS[look.kind][look.marker]],
        }
        for name, look in looks(learned).items()
    }


def colour_variables(background: str) -> str:
    """The palette of one background as custom properties of CSS.

    Args:
        background: `light` or `dark`.
    """
    return " ".join(
        f"--{kind}-{place}: {colour};"
        for kind, colours in (PALETTES[background] | {"heat": HEAT[background]}).items()
        for place, colour in enumerate(colours)
    )
