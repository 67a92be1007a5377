"""Names at the ends of lines: near their lines, never over each other, and in a legend where they do not fit."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.reports.figures.canvas import new_figure, theme
from l2obench.reports.figures.labels import End, name_lines, spread
from l2obench.reports.figures.styles import line_style, looks
from l2obench.reports.figures.ticks import format_seconds, time_ticks

STYLE = line_style(looks({"adam": False})["adam"])
places = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(places)
def test_places_are_apart_inside_and_in_order(wanted):
    found = spread(np.array(wanted), 0.08, 0.0, 1.0)
    assert np.all(np.diff(np.sort(found)) >= 0.08 - 1e-9)
    assert found.min() >= -1e-9
    assert found.max() <= 1 + 1e-9
    assert np.array_equal(np.argsort(found, kind="stable"), np.argsort(wanted, kind="stable"))


def test_places_that_are_apart_stay():
    assert spread(np.array([0.9, 0.1, 0.5]), 0.1, 0.0, 1.0).tolist() == pytest.approx([0.9, 0.1, 0.5])


def draw(labels, last_x=10.0):
    with theme():
        figure, axes = new_figure("a task")
        axes.plot([0, 10], [0, 1])
        axes.margins(x=0)
        name_lines(figure, axes, [End(label, last_x, 0.5, STYLE) for label in labels])
        figure.draw_without_rendering()
    return figure, axes


def test_names_stand_at_the_ends_and_do_not_overprint():
    figure, axes = draw([f"optimizer-{k}" for k in range(10)])
    assert not figure.legends
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 10
    edge = axes.get_window_extent().x1
    for below, above in itertools.pairwise(boxes):
        assert below.y1 <= above.y0 + 1
    assert all(edge < box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(
    ("labels", "last_x"),
    [(["adam"], 3.0), ([f"rule-{k}" for k in range(60)], 10.0), (["a" * 80], 10.0)],
    ids=["ends early", "too many", "too long"],
)
def test_names_that_do_not_fit_are_in_a_legend(labels, last_x):
    figure, axes = draw(labels, last_x)
    assert not axes.texts
    assert len(figure.legends[0].get_texts()) == len(labels)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3e-9, "3 ns"),
        (2e-6, "2 µs"),
        (0.0009999999999, "1 ms"),
        (0.25, "250 ms"),
        (59, "59 s"),
        (120, "2 min"),
        (5400, "1.5 h"),
    ],
)
def test_times_have_units(seconds, text):
    assert format_seconds(seconds) == text


def test_a_time_axis_never_says_2m():
    with theme():
        figure, axes = new_figure("a task")
        axes.plot([1e-3, 4e-3], [0, 1])
        axes.set_xscale("log")
        time_ticks(axes.xaxis)
        figure.draw_without_rendering()
        said = [label.get_text() for label in axes.get_xticklabels() if label.get_text()]
    assert said
    assert all(text.endswith((" ms", " µs")) for text in said)
