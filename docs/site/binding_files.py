"""The bindings of docs/numbers: lines of pages with a mark for each number, and what each number is."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARK = "{}"
SHARED = ("of", "where", "rows", "fold", "scale")
"""What a line says once for all its values."""


@dataclass(frozen=True)
class Line:
    """A line of a page, with a mark in the place of each number that comes from a row."""

    page: str
    text: str
    values: tuple[dict[str, Any], ...]
    nth: int = 1
    """Which of the lines of this form in the page, from 1 on."""


@dataclass(frozen=True)
class Section:
    """A section with numbers that have no row here."""

    page: str
    heading: str
    numbers: int
    """How many."""
    reason: str
    """Why, or where they come from."""


def load(docs: Path = ROOT / "docs") -> tuple[list[Line], list[Section]]:
    """Read the bindings: lines with their values, and sections with numbers that have no row.

    Args:
        docs: the folder of numbers.toml, in which each entry names its page, and of numbers/: a file for each page.
    """
    lines: list[Line] = []
    sections: list[Section] = []
    for path in [docs / "numbers.toml", *sorted((docs / "numbers").glob("*.toml"))]:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        page = {"page": content["page"]} if "page" in content else {}
        lines += [line for item in content.get("line", []) for line in _lines({**page, **item})]
        sections += [Section(**{**page, **item}) for item in content.get("section", [])]
    return lines, sections


def _lines(item: Mapping[str, Any]) -> Iterator[Line]:
    """A line as a file has it, once for each set of words that `each` puts into it."""
    for words in item.get("each", [{}]):
        shared = {key: item[key] for key in SHARED if key in item}
        values = tuple(
            value for entry in item["values"] for value in _values(_fill(shared, words), _fill(entry, words))
        )
        yield Line(item["page"], _fill(item["text"], words), values, item.get("nth", 1))


def _fill(item: Any, words: Mapping[str, str]) -> Any:
    """The same with `<word>` replaced, wherever it stands."""
    if isinstance(item, str):
        for word, text in words.items():
            item = item.replace(f"<{word}>", text)
        return item
    if isinstance(item, Mapping):
        return {key: _fill(value, words) for key, value in item.items()}
    return [_fill(value, words) for value in item] if isinstance(item, list) else item


def _values(shared: Mapping[str, Any], entry: str | Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of an entry: `ratio low high:.2f` is three, of the line's row."""
    own = {"take": entry} if isinstance(entry, str) else dict(entry)
    columns, _, form = own.pop("take").rpartition(":") if "take" in own else (own["column"], "", own["as"])
    where = {**shared.get("where", {}), **own.get("where", {})}
    for column in columns.split() if own.get("of", shared.get("of")) != "code" else [columns]:
        yield {**shared, **own, "where": where, "column": column, "as": form}
