"""The page of the command line, made from the commands themselves."""

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from l2obench.bench.commands.cli import app


def command_line_page() -> str:
    """The page, in Markdown."""
    return "\n".join(lines())


def lines() -> Iterator[str]:
    """The page, line for line: the command itself, then every command by section."""
    group = typer.main.get_command(app)
    yield from ["# The command line", "", "This page lists every command with its arguments and options.", ""]
    context = group.make_context("l2obench", ["list"])
    yield from text(group.help or "")
    for title, commands in group.sections.items():
        yield from [f"## {title}", ""]
        for name in commands:
            command = group.commands[name]
            yield from [f"### l2obench {name}", ""]
            inner = type(context)(command, info_name=name, parent=context)
            yield from ["```text", command.get_usage(inner).removeprefix("Usage: "), "```", ""]
            yield from text(command.help or "")
            yield from tables(command, inner)


def text(paragraphs: str) -> Iterator[str]:
    """Paragraphs of help: indented lines are shown as they are, in all else the signs of Markdown mean nothing."""
    shown = False
    for line in paragraphs.splitlines():
        if line.startswith(" ") != shown:
            shown = not shown
            yield from ["", "```text"] if shown else ["```", ""]
        yield line.removeprefix("    ") if shown else escaped(line)
    yield from ["```", ""] if shown else [""]


def tables(command: Any, context: Any) -> Iterator[str]:
    """One table for each group of options."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None:
            title = "Arguments" if param.param_type_name == "argument" else "Options"
            groups.setdefault(getattr(param, "rich_help_panel", None) or title, []).append(record)
    for title, records in groups.items():
        yield from [f"| {title} | |", "|---|---|"]
        for name, explanation in records:
            yield f"| `{name}` | {escaped(explanation)} |".replace("\n", " ")
        yield ""


def escaped(line: str) -> str:
    """A line whose signs are not read as Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", line)
