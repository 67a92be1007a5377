"""What a section of the report is: its numbers, its figures and its words, in one object.

A new section is one file here with a `SECTION`, and one line in `l2obench.reports.sections.registry`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from l2obench.reports.figures.drawing import Drawing
from l2obench.reports.numbers.analysis import Analysis

Numbers = Callable[[Analysis], pd.DataFrame]
Draw = Callable[[pd.DataFrame, Analysis], Sequence[Drawing]]
Sentences = Callable[[pd.DataFrame, Analysis], list[str]]
Values = Callable[[pd.DataFrame, Analysis], Mapping[str, Any]]


def no_numbers(_: Analysis) -> pd.DataFrame:
    """A section without a table."""
    return pd.DataFrame()


def no_drawings(_: pd.DataFrame, __: Analysis) -> Sequence[Drawing]:
    """A section without figures."""
    return ()


def no_sentences(_: pd.DataFrame, __: Analysis) -> list[str]:
    """A section without sentences of its own."""
    return []


def no_values(_: pd.DataFrame, __: Analysis) -> Mapping[str, Any]:
    """Nothing for a template, or nothing for the page's script."""
    return {}


@dataclass(frozen=True)
class Body:
    """HTML that only this section has: a chart with its controls, or words in a form of their own."""

    template: str
    """A file of `sections/templates`. It is shown where its values say something."""
    values: Values = no_values
    """What the template shows, by name."""
    script_data: Values = no_values
    """What the page's script draws, by the name under which it asks for it. JSON can hold it."""


@dataclass(frozen=True)
class Section:
    """One section of the report. The page, the tables' files and the figures' files are made from nothing else.

    Each function gets the numbers of this section, as `numbers` gave them, and what all sections share.
    """

    name: str
    """The anchor in the page and the name of the table's files."""
    title: str
    """The heading, and the link at the top of the page."""
    numbers: Numbers = no_numbers
    """The table: one row a comparison. It may be empty."""
    caption: str = ""
    """What the table shows, in one sentence. A section with a table has one."""
    introduction: str = ""
    """Whole sentences above figures and table: what was measured, and what divides what."""
    sentences: Sentences = no_sentences
    """What the numbers say, each a whole sentence."""
    drawings: Draw = no_drawings
    """The figures. They are made only where the page shows them, or where someone asks for files."""
    in_page: bool = False
    """Whether the page shows the figures; where it has interactive charts of the same numbers it need not."""
    empty: str = ""
    """The sentence of a section with nothing to show. Without one, such a section is left out."""
    below: bool = False
    """Whether it belongs to the last section before it that does not."""
    rows: int = 0
    """Rows of the table that stand in the page before a reader asks for all; 0: as many as of any table."""
    body: Body | None = None
