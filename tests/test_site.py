"""The documentation as a site: a strict build, every link and anchor, and nothing that is loaded from elsewhere."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer.main
import yaml

from l2obench.bench.commands.cli import app
from tests.markdown import ROOT

CONFIGURATION = ROOT / "mkdocs.yml"
LOADED = {"iframe": "src", "img": "src", "link": "href", "script": "src", "source": "src", "video": "src"}
"""What a browser fetches by itself, and the attribute that says from where."""


class Html(HTMLParser):
    """The anchors of a page, the targets of its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])


def broken(pages: dict[Path, Html]) -> Iterator[str]:
    """Every link, and everything loaded, whose file or anchor is not there."""
    for path, html in pages.items():
        for target in html.links + html.loaded:
            if re.match("[a-z]+:", target):
                continue
            file, _, place = unquote(target).partition("#")
            # The script of a report reads what comes after the anchor: #explore?task=quadratic.
            anchor = place.partition("?")[0]
            there = (path.parent / file).resolve() if file else path
            if not there.is_file() or (anchor and there in pages and anchor not in pages[there].anchors):
                yield f"{path.name}: {target}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built strictly and beside the checkout."""
    folder = tmp_path_factory.mktemp("site").resolve()
    shutil.copy(CONFIGURATION, folder)
    for name in ("docs", "src"):
        (folder / name).symlink_to(ROOT / name)
    programs = Path(sys.executable).parent
    for command in (
        [sys.executable, str(ROOT / "docs" / "site" / "assemble.py"), "build/pages", "paper-appendix"],
        [str(programs / "zensical"), "build", "--strict"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    # Links of the page for a wrong address begin at the root of a server.
    files = [path for path in site.rglob("*.html") if path.name != "404.html"]
    return {path: Html(path.read_text(encoding="utf-8")) for path in files}


def test_every_link_leads_somewhere(pages: dict[Path, Html]) -> None:
    assert len(pages) > 20
    assert list(broken(pages)) == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Html]) -> None:
    assert [target for html in pages.values() for target in html.loaded if re.match("([a-z]+:)?//", target)] == []


def test_the_reference_has_every_command_and_every_public_function(site: Path) -> None:
    commands = Html((site / "command-line.html").read_text(encoding="utf-8")).anchors
    assert {f"l2obench-{name}" for name in typer.main.get_command(app).commands} <= commands
    functions = Html((site / "reference" / "functions.html").read_text(encoding="utf-8")).anchors
    assert {
        "l2obench.run",
        "l2obench.Results.compare",
        "l2obench.load",
        "l2obench.train",
        "l2obench.check",
    } <= functions


def test_every_page_has_a_place_in_the_navigation(pages: dict[Path, Html], site: Path) -> None:
    """The sections are those of docs/index.md, in its order."""
    text = re.sub(r"!!python\S+ \{.*\}", "", CONFIGURATION.read_text(encoding="utf-8"))
    navigation = {title: inner for section in yaml.safe_load(text)["nav"] for title, inner in section.items()}
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert list(navigation) == headings[: len(navigation)]
    listed = {
        next(iter(entry.values())) if isinstance(entry, dict) else entry
        for section in navigation.values()
        for entry in section
    }
    # Reports are pages of their own, which the page of the gallery links to.
    own = [path.relative_to(site) for path in pages if path.relative_to(site).parts[0] != "gallery"]
    built = {path.with_suffix(".md").as_posix() for path in own}
    assert {re.sub("README.md$", "index.md", place) for place in listed} == built


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    here = tmp_path / "here.html"
    here.touch()
    found = {here: Html("<h1 id='top'></h1><a href='#top'></a><a href='#down'></a><img src='no.png'><a href='x.html'>")}
    assert list(broken(found)) == ["here.html: #down", "here.html: x.html", "here.html: no.png"]
