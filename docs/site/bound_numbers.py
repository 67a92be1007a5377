"""Numbers in prose, bound to rows: `python docs/site/bound_numbers.py` writes the numbers of pages from results.

docs/numbers/ lists lines of pages with a mark for each number, and the row and column that the number comes from.
For each section it says how many numbers have no row here, and why: a number that joins them fails a test.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from binding_files import MARK, ROOT, Line, load
from number_rows import number
from page_numbers import NUMBER, Text, lines_of

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pages() -> list[str]:
    """The pages in which every number is bound or counted: README.md and all of docs."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def pattern(line: Line) -> "re.Pattern[str]":
    """What finds a line, whatever its numbers are.

    Args:
        line: to find.
    """
    return re.compile(f"({NUMBER})".join(map(re.escape, line.text.split(MARK))))


def numbers(line: Line) -> list[str]:
    """The numbers of a line as the rows give them, in the form of the page.

    Args:
        line: with its values.
    """
    return [write(number(value), value) for value in line.values]


def write(value: float, form: dict[str, Any]) -> str:
    """Write a number as its page does.

    Args:
        value: of the row.
        form: `as` is the format: Python's, as in `.2f`, `,.0f` or `.1e`; `.0power` writes 3·10⁶,
            `compact` three significant digits, 0.614, or all digits before the point, 1,397; `loss` also writes 0
            below 1e-10.
    """
    if value == float("inf"):
        return "∞"
    if form["as"] == "loss" and value < 1e-10:
        return "0"
    if form["as"] in ("compact", "loss"):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if form["as"].endswith("power"):
        mantissa, exponent = format(value, form["as"].removesuffix("power") + "e").split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(RAISED)}"
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
    form = pattern(line)
    found = [(k, text.strip()) for k, text in enumerate(page.splitlines()) if form.fullmatch(text.strip())]
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
        wanted = parts[0] + "".join(text + rest for text, rest in zip(numbers(line), parts[1:], strict=True))
        if now != wanted:
            yield line, at, now, wanted


def count_unbound(lines: Sequence[Line], page: str) -> dict[str, int]:
    """Count the numbers of a page that no line binds, by the heading of their section.

    Args:
        lines: bound lines, of any page.
        page: one of `pages`.
    """
    counts: dict[str, int] = {}
    for heading, left in unbound(lines, page):
        counts[heading] = counts.get(heading, 0) + len(left)
    return counts


def unbound(lines: Sequence[Line], page: str) -> Iterator[tuple[str, list[str]]]:
    """The numbers of a page that no line binds: for each line that has some, the heading of its section, and they.

    Args:
        lines: bound lines, of any page.
        page: one of `pages`.
    """
    content = (ROOT / page).read_text(encoding="utf-8")
    bound = {place(line, content)[0]: line for line in lines if line.page == page}
    for at, heading, text in lines_of(content):
        spans = _bound_spans(bound[at], text) if at in bound else []
        left = [token for token in text.numbers if not any(first <= token.start < last for first, last in spans)]
        if left:
            yield heading, [token.text for token in left]


def _bound_spans(line: Line, text: Text) -> list[tuple[int, int]]:
    found = pattern(line).fullmatch(text.line)
    return [] if found is None else [found.span(group) for group in range(1, len(line.values) + 1)]


def main(arguments: Sequence[str]) -> int:
    """Write the numbers into their pages, or say which differ.

    Args:
        arguments: `--check` changes nothing, and `--unbound` lists the numbers that no line binds.
    """
    lines, _ = load()
    if "--unbound" in arguments:
        for page in pages():
            for heading, left in unbound(lines, page):
                print(f"{page}: no row for {', '.join(left)} under {heading!r}")
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
