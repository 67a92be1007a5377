"""How `--help` looks: wrapped paragraphs, examples as they were written, and options in named groups.

Help is plain text. To import rich for its panels would take longer than all of `l2obench --help`.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Of the whole command line: `-h` works everywhere, and help uses up to 100 columns of the terminal."""
LONGEST_NAME = 26
"""Columns of an option's name; the text of a longer one begins on the next line."""


class GroupedHelpCommand(TyperCommand):
    """A command whose options are shown below the titles of their groups (typer's `rich_help_panel`)."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        write_help_text(formatter, self.help or "")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name, text = record
                title = "Arguments" if param.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(param, "rich_help_panel", None) or title, []).append(
                    (name.replace(" range>", ">"), text)  # the range itself stands behind the text
                )
        # One column for the texts of all groups, so that the eye finds them in one place.
        column = _column([name for records in groups.values() for name, _ in records])
        for title, records in groups.items():
            write_records(formatter, title, records, column)


def write_help_text(formatter: Any, text: str) -> None:
    """Write a docstring: paragraphs are wrapped, indented lines (examples, files, exit codes) stay as they are.

    Args:
        formatter: the help's formatter of typer.
        text: the docstring, without its indentation.
    """
    with formatter.indentation():
        for block in text.split("\n\n"):
            formatter.write_paragraph()
            paragraph: list[str] = []
            for line in block.splitlines():
                if line.startswith(" "):
                    _write_paragraph(formatter, paragraph)
                    paragraph = []
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
                else:
                    paragraph.append(line)
            _write_paragraph(formatter, paragraph)


def write_records(formatter: Any, title: str, records: Sequence[tuple[str, str]], column: int | None = None) -> None:
    """Write a titled list of names and their texts, side by side.

    Args:
        formatter: the help's formatter of typer.
        title: heading of the list.
        records: a name and a text each.
        column: where the texts begin; None: after the longest name that is not too long.
    """
    column = _column([name for name, _ in records]) if column is None else column
    with formatter.section(title):
        margin = " " * formatter.current_indent
        for name, text in records:
            lines = _wrap(text, formatter.width - formatter.current_indent - column)
            first = lines.pop(0) if len(name) + 2 <= column and lines else ""
            formatter.write(f"{margin}{name:{column}}{first}".rstrip() + "\n")
            for line in lines:
                formatter.write(f"{margin}{'':{column}}{line}\n")


def _column(names: Sequence[str]) -> int:
    """Where texts begin: after the longest name that fits, and two spaces."""
    return max((len(name) for name in names if len(name) <= LONGEST_NAME), default=0) + 2


def _write_paragraph(formatter: Any, lines: Sequence[str]) -> None:
    margin = " " * formatter.current_indent
    for line in _wrap(" ".join(lines), formatter.width - formatter.current_indent):
        formatter.write(f"{margin}{line}\n")


def _wrap(text: str, width: int) -> list[str]:
    # Not at hyphens: a name such as mnist-mlp must stay whole, so that it can be copied.
    return textwrap.wrap(text, max(20, width), break_on_hyphens=False, break_long_words=False)
