"""The figure of proposed updates: a row for each optimizer, a panel for each step, the numbers it was given."""

from pathlib import Path

import numpy as np
import pandas as pd

from l2obench.reports.figures.canvas import theme
from l2obench.reports.figures.updates import draw_updates, updates_figure

STEPS, GRADIENTS = [2, 5], np.linspace(-1, 1, 5)
NAMES = {"lstm[checkpoint=mine]": True, "sgd": False, "$x$_y": False}


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """SGD's updates under three names, and a past that adds 0.5."""
    along = [
        {"optimizer": name, "learned": learned, "step": step, "gradient": 0.1 * step, "update": -0.1 * step}
        for name, learned in NAMES.items()
        for step in range(1, 6)
    ]
    varied = [
        {"optimizer": name, "step": step, "before": before, "gradient": gradient, "update": shift - gradient}
        for name in NAMES
        for step in STEPS
        for before, shift in (("as it was", 0.0), ("sign turned", 0.5))
        for gradient in GRADIENTS
    ]
    return pd.DataFrame(along), pd.DataFrame(varied)


def test_panels_hold_the_numbers() -> None:
    with theme():
        figure = updates_figure("a task", *frames())
    assert len(figure.axes) == len(NAMES) * (1 + len(STEPS))
    along, at_two, at_five = figure.axes[:3]
    np.testing.assert_allclose(along.lines[0].get_ydata(), [-0.1, -0.2, -0.3, -0.4, -0.5])
    was, turned, met = at_two.lines[:3]
    np.testing.assert_allclose(was.get_xydata(), np.stack([GRADIENTS, -GRADIENTS], axis=1))
    np.testing.assert_allclose(turned.get_ydata(), 0.5 - GRADIENTS)
    np.testing.assert_allclose(met.get_xydata(), [[0.2, -0.2]])
    assert at_five.get_title(loc="left") == "at step 5"


def test_each_optimizer_has_a_colour_and_its_name_as_it_is() -> None:
    with theme():
        figure = updates_figure("a task", *frames())
    rows = figure.axes[:: 1 + len(STEPS)]
    assert len({axes.lines[0].get_color() for axes in rows}) == len(NAMES)
    assert [axes.get_title(loc="left") for axes in rows] == ["lstm[checkpoint=mine]", "sgd", r"\$x\$_y"]


def test_the_same_numbers_give_the_same_files(tmp_path: Path) -> None:
    history, responses = (frame[frame["optimizer"] == "sgd"] for frame in frames())
    for name in ("one", "two"):
        draw_updates("a task", history, responses, tmp_path / name)
    for suffix in (".svg", ".png", ".pdf"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
