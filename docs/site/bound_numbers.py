"""Numbers in prose, bound to rows: `python docs/site/bound_numbers.py` writes the numbers of pages from results.

docs/numbers.toml lists lines of pages with a mark for each number, and the row and column that the number comes from.
For each section it says how many numbers have no row here, and why: a number that joins them fails a test.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from number_rows import number
from page_numbers import NUMBER, lines_of, numbers_of

ROOT = Path(__file__).resolve().parents[2]
BINDINGS = ROOT / "docs" / "numbers.toml"
MARK = "{}"
PAGES = ("README.md", "docs/questions.md", "docs/reproduction.md")
"""Pages in which every number is bound or counted."""


@dataclass(frozen=True)
class Line:
    """A line of a page, with a mark in the place of each number that comes from a row."""

    page: str
    text: str
    values: tuple[dict[str, Any], ...]
    nth: int = 1
    """Which of the lines of this form in the page, from 1 on."""

    def pattern(self) -> "re.Pattern[str]":
        """What finds the line, whatever its numbers are."""
        return re.compile(f"({NUMBER})".join(map(re.escape, self.text.split(MARK))))

    def numbers(self) -> list[str]:
        """The numbers as the rows give them, in the form of the page."""
        return [write(number(*value["of"].split("/"), value["where"], value["column"]), value) for value in self.values]


@dataclass(frozen=True)
class Section:
    """A section with numbers that have no row here."""

    page: str
    heading: str
    numbers: int
    """How many."""
    reason: str
    """Why, or where they come from."""


def load(path: Path = BINDINGS) -> tuple[list[Line], list[Section]]:
    """Read the bindings: lines with their values, and sections with numbers that have no row.

    Args:
        path: of the file.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    lines = [Line(item["page"], item["text"], tuple(item["values"]), item.get("nth", 1)) for item in content["line"]]
    return lines, [Section(**item) for item in content.get("section", [])]


def write(value: float, form: dict[str, Any]) -> str:
    """Write a number as its page does.

    Args:
        value: of the row.
        form: `as` is the format: Python's, as in `.2f`, `,.0f` or `.1e`. A format with `{}` writes the number within.
    """
    if value == float("inf"):
        return "∞"
    text = format(value, form["as"])
    # 2.3e-10, not 2.3e-10 with a padded exponent.
    return re.sub(r"e([+-])0*(\d)", lambda found: f"e{'-' if found[1] == '-' else ''}{found[2]}", text)


def place(line: Line, page: str) -> tuple[int, str]:
    """Find a line in its page.

    Args:
        line: what to find.
        page: the text of the page.

    Returns:
        The number of the line, from 0 on, and its text.

    Raises:
        ValueError: the page has no such line.
    """
    pattern = line.pattern()
    found = [(k, text.strip()) for k, text in enumerate(page.splitlines()) if pattern.fullmatch(text.strip())]
    if len(found) < line.nth:
        raise ValueError(f"{line.page} must have {line.nth} lines of the form {line.text!r}, has {len(found)}")
    return found[line.nth - 1]


def differences(lines: Sequence[Line]) -> Iterator[tuple[Line, int, str, str]]:
    """The lines whose numbers are not those of their rows: the line, its place, as it stands, and as it should be.

    Args:
        lines: bound lines.
    """
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in {line.page for line in lines}}
    for line in lines:
        at, now = place(line, pages[line.page])
        parts = line.text.split(MARK)
        wanted = parts[0] + "".join(text + rest for text, rest in zip(line.numbers(), parts[1:], strict=True))
        if now != wanted:
            yield line, at, now, wanted


def count_unbound(lines: Sequence[Line], page: str) -> dict[str, int]:
    """Count the numbers of a page that no line binds, by the heading of their section.

    Args:
        lines: bound lines, of any page.
        page: one of `PAGES`.
    """
    content = (ROOT / page).read_text(encoding="utf-8")
    bound = {place(line, content)[0]: len(line.values) for line in lines if line.page == page}
    counts: dict[str, int] = {}
    for at, heading, text in lines_of(content):
        if left := len(numbers_of(text)) - bound.get(at, 0):
            counts[heading] = counts.get(heading, 0) + left
    return counts


def main(arguments: Sequence[str]) -> int:
    """Write the numbers into their pages, or say which differ.

    Args:
        arguments: `--check` changes nothing, and `--count` counts the numbers that no line binds.
    """
    lines, _ = load()
    if "--count" in arguments:
        for page in PAGES:
            for heading, count in count_unbound(lines, page).items():
                print(f"{page}: {count} numbers without a row under {heading!r}")
        return 0
    changed = list(differences(lines))
    for line, at, now, wanted in changed:
        print(f"{line.page}: {now}\n  rows say: {wanted}")
        if "--check" not in arguments:
            path = ROOT / line.page
            texts = path.read_text(encoding="utf-8").splitlines(keepends=True)
            texts[at] = texts[at].replace(now, wanted)
            path.write_text("".join(texts), encoding="utf-8")
    print(f"{len(lines)} lines, {sum(len(line.values) for line in lines)} numbers, {len(changed)} lines differ")
    return 1 if changed and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
