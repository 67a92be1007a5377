"""Names are data: in every format they stay text. Numbers read back as they were."""

import csv
import io
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from l2obench.reports.formats import format_number, join_lines, to_csv, to_markdown
from l2obench.reports.page.html import to_html

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b",
    "a\nb",
    "back\\|slash",
    "[click](javascript:alert(1))",
    "**bold** _it_ `code` ~~no~~ &amp;",
    "{{ 7 * 7 }}",
]


class Reader(HTMLParser):
    """Tags and the text of every cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("th", "td"):
            self.in_cell = True
            self.cells.append("")

    def handle_data(self, data):
        if self.in_cell:
            self.cells[-1] += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.in_cell = False


@pytest.mark.parametrize("name", HOSTILE)
def test_html_shows_a_hostile_name_and_runs_nothing(name):
    reader = Reader(to_html(pd.DataFrame({"optimizer": [name]}), caption=name))
    assert set(reader.tags) <= {"div", "table", "caption", "span", "thead", "tbody", "tr", "th", "td"}
    assert join_lines(name) in reader.cells


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_renders_a_hostile_name_as_its_text(name):
    source = to_markdown(pd.DataFrame({"optimizer": [name], "ratio": [0.5]}))
    reader = Reader(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source))
    assert set(reader.tags) == {"table", "thead", "tbody", "tr", "th", "td"}
    assert reader.cells == ["optimizer", "ratio of means", join_lines(name), "0.5"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\x1b=1", "\uff1d1"])
def test_csv_text_never_starts_a_formula(name):
    _, (cell,) = csv.reader(io.StringIO(to_csv(pd.DataFrame({"optimizer": [name]})), newline=""))
    assert cell == "'" + join_lines(name)


@pytest.mark.parametrize("name", [*HOSTILE, 'quote"comma,'])
def test_csv_gives_a_name_back(name):
    _, row = csv.reader(io.StringIO(to_csv(pd.DataFrame({"optimizer": [name], "ratio": [0.5]})), newline=""))
    assert row == [join_lines(name), "0.5"]


def test_csv_numbers_are_exact_and_read_back():
    table = pd.DataFrame({"loss": [0.1 + 0.2, -0.5, np.inf, np.nan], "seeds": [1, 2, 3, 4]})
    pd.testing.assert_frame_equal(
        pd.read_csv(
            io.StringIO(to_csv(table)),
        ),
        table,
    )


def test_infinite_and_missing_are_told_apart():
    table = pd.DataFrame({"ratio": [np.inf, -np.inf, np.nan], "reason": [None, np.nan, pd.NA]})
    rows = to_markdown(table).splitlines()[2:]
    assert rows == ["| ∞ | — |", "| −∞ | — |", "| — | — |"]
    assert Reader(to_html(table, "")).cells.count("—") == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.52341, "0.5234"),
        (3.0, "3"),
        (0.0, "0"),
        (12345.6, "12,346"),
        (2.5e-7, "2.5e-07"),
        (3e12, "3e+12"),
        (-0.5, "-0.5"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert format_number(value) == text


def test_two_ends_of_an_interval_share_a_column():
    rows = to_markdown(pd.DataFrame({"ratio": [2.0], "low": [1.5], "high": [np.inf]})).splitlines()
    assert rows == ["| ratio of means | 95 % interval |", "| ---: | ---: |", "| 2 | 1.5 – ∞ |"]


def test_shares_are_percentages_and_flags_words():
    table = pd.DataFrame({"reached": [0.625], "at_edge": [True]})
    assert to_markdown(table).splitlines()[-1] == "| 62.5% | yes |"


def test_learned_rows_are_marked():
    html = to_html(pd.DataFrame({"optimizer": ["adam", "lstm"], "learned": [False, True]}), "c")
    assert html.count('class="learned"') == 1
    assert "learned</th>" not in html
