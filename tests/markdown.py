"""Read a Markdown page as a reader sees it: its sentences, code blocks, links and anchors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = re.compile(r"<!--\s*not run:\s*(.+?)\s*-->")
# A sentence ends at . ! or ? before a capital, a date, a quotation, a link or code: "et al. 2016" goes on.
SENTENCE_END = re.compile(r"(?<=[.!?])[)”\"*_]*\s+(?=[*_(\[“\"`]*(?:[A-ZΣ∞`]|\d{4}-\d\d-\d\d))")
ABBREVIATIONS = re.compile(r"\b(?:et al|e\.g|i\.e|cf|vs|Fig|Eq|Sec|T|Rev)\.$")


@dataclass(frozen=True)
class Code:
    """One code block: its language ('' where indented or unnamed), its text, and why it is not run, if it says so."""

    language: str
    text: str
    not_run: str | None


def pages() -> list[Path]:
    """All pages that a user reads, the change log apart, whose old entries stay as they were."""
    docs = ROOT / "docs"
    folders = (docs, docs / "tutorials", docs / "reference", docs / "examples" / "l2obench-plugin-template")
    found = [page for folder in folders for page in sorted(folder.glob("*.md"))]
    own = ("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "results/README.md")
    return [*(ROOT / name for name in own), *found]


def parsed(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def code_blocks(page: Path) -> Iterator[Code]:
    before = ""
    for token in parsed(page):
        if token.type in {"fence", "code_block"}:
            reason = NOT_RUN.search(before)
            yield Code(token.info.strip(), token.content, reason[1] if reason else None)
        before = token.content if token.type == "html_block" else ""


def prose(page: Path) -> Iterator[str]:
    """The text of every paragraph and list item, without tables and headings; code counts as one word."""
    within: list[str] = []
    for token in parsed(page):
        if token.nesting == 1:
            within.append(token.type)
        elif token.nesting == -1:
            within.pop()
        elif token.type == "inline" and not {"heading_open", "table_open"} & set(within):
            yield "".join(map(_shown, token.children or ()))


def sentences(page: Path) -> Iterator[str]:
    for paragraph in prose(page):
        begun = ""
        for part in SENTENCE_END.split(paragraph):
            begun = f"{begun} {part}".strip()
            if not ABBREVIATIONS.search(begun):
                yield begun
                begun = ""
        if begun:
            yield begun


def words(sentence: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in sentence.split())


def links(page: Path) -> Iterator[str]:
    """The target of every link and picture."""
    for token in parsed(page):
        for child in token.children or ():
            target = child.attrs.get("href", child.attrs.get("src"))
            if target is not None:
                yield str(target)


def anchors(page: Path) -> set[str]:
    """What `#…` can name on a page: its headings in small letters, without punctuation, a hyphen for each space."""
    tokens = parsed(page)
    headings = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "heading_open"]
    names = ["".join(child.content for child in heading.children or ()) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def inline_codes(page: Path) -> Iterator[str]:
    for token in parsed(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def _shown(token: Token) -> str:
    if token.type in {"softbreak", "hardbreak"}:
        return " "
    if token.type == "code_inline":
        return f"`{token.content.replace(' ', '_').replace('.', '_')}`"
    return token.content if token.type == "text" else ""
