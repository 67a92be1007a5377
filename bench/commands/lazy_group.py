"""Commands that are imported when they are called: help and lists need not wait for what a run imports."""

import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from l2obench.bench.commands.command_help import GroupedHelpCommand, write_help_text, write_records


@dataclass(frozen=True)
class CommandEntry:
    """One command: its function as `module:function`, in this folder, and the line that the list of commands shows."""

    path: str
    summary: str

    def load(self, name: str) -> Any:
        """Import the module and make the command.

        Args:
            name: what the command is called.
        """
        module, _, function = self.path.partition(":")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=GroupedHelpCommand)(getattr(importlib.import_module(f"{__package__}.{module}"), function))
        return typer.main.get_command(app)


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name. To look one up imports its module; to list the names imports nothing."""

    def __init__(self, entries: dict[str, CommandEntry]) -> None:
        self._entries = entries
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._entries[name].load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        raise TypeError("commands are fixed by the table in l2obench.bench.commands.cli")

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands are fixed by the table in l2obench.bench.commands.cli")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyGroup(TyperGroup):
    """All commands. Its help lists them by section, from their summaries."""

    sections: ClassVar[dict[str, dict[str, CommandEntry]]] = {}
    """Title of a section → name → command; set by a subclass."""

    def __init__(self, **settings: Any) -> None:
        entries = {name: entry for section in self.sections.values() for name, entry in section.items()}
        super().__init__(**settings | {"commands": LazyCommands(entries)})

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        write_help_text(formatter, self.help or "")

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        column = max(map(len, self.commands)) + 2
        for title, section in self.sections.items():
            write_records(formatter, title, [(name, entry.summary) for name, entry in section.items()], column)
