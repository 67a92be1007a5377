"""Starts × rules: means by hand, in the order of the suite, and a figure that shows every one of them."""

import pandas as pd
import pytest

from l2obench.reports.figures.canvas import theme
from l2obench.reports.figures.starts import start_drawings, start_figure
from l2obench.reports.figures.styles import line_style, looks
from l2obench.reports.numbers.final_losses import final_losses
from l2obench.reports.numbers.starts import starts

STYLES = {name: line_style(look) for name, look in looks({"sgd": False, "nag": False, "lstm": True}).items()}


@pytest.fixture
def cells(frame, cell):
    tasks = {"wave[horizon=5]": 5, "wave[horizon=5,start=maml]": 5, "wave": 100, "wave[start=maml]": 100}
    losses = iter([4.0, 3.0, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1])
    return frame(
        *(
            cell(rule, [loss, 3 * loss], task=task, steps=steps)
            for task, steps in tasks.items()
            for rule, loss in zip(("sgd", "lstm"), losses, strict=False)
        )
    )


def test_means_are_by_steps_start_and_rule_in_the_order_of_the_suite(cells):
    table = starts(cells, final_losses(cells))
    assert table[["steps", "start", "optimizer"]].values.tolist() == [
        [steps, start, rule] for steps in (5, 100) for start in ("random", "maml") for rule in ("sgd", "lstm")
    ]
    assert table["mean_final_loss"].tolist() == pytest.approx([8.0, 6.0, 2.0, 1.0, 0.8, 0.6, 0.4, 0.2])
    assert (table["low"] <= table["mean_final_loss"]).all()
    assert (table["mean_final_loss"] <= table["high"]).all()


def test_the_figure_has_a_panel_for_each_horizon_and_a_point_for_each_row(cells):
    with theme():
        figure = start_figure(starts(cells, final_losses(cells)), STYLES)
    left, right = figure.axes
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("5 steps", "100 steps")
    assert [text.get_text() for text in left.get_xticklabels()] == ["random", "maml"]
    drawn = sorted(value for container in left.containers for value in container.lines[0].get_ydata())
    assert drawn == pytest.approx([1.0, 2.0, 6.0, 8.0])


def test_a_rule_that_diverged_stands_at_the_upper_edge(frame, cell):
    tasks = ("wave", "wave[start=maml]")
    cells = frame(
        *(cell("sgd", [1.0, 3.0], task=task) for task in tasks),
        *(cell("nag", [1.0, float("inf")], task=task) for task in tasks),
    )
    with theme():
        (axes,) = start_figure(starts(cells, final_losses(cells)), STYLES).axes
    ends = [container.lines[0].get_ydata().tolist() for container in axes.containers]
    assert ends == [[2.0, 2.0], []]
    assert [text.get_text() for text in axes.texts] == ["∞", "∞"]


def test_a_family_has_a_figure_where_one_of_its_starts_is_learned(frame, cell, cells):
    other = frame(cell("sgd", [1.0], task="bowl"), cell("sgd", [1.0], task="bowl[dim=3]"))
    assert starts(other, final_losses(other)).empty
    table = starts(everything := pd.concat([cells, other], ignore_index=True), final_losses(everything))
    assert set(table["family"]) == {"wave"}
    (drawing,) = start_drawings(table, STYLES)
    assert drawing.description == "Mean final loss from every start on wave, for sgd, lstm"
