"""Gathers the pages of the site in one folder: those of docs/, those of the repository, and the generated ones.

Links are right in the repository, where pages are read too. Here each is turned into one that is right on the site.

    python docs/site/assemble.py build/pages          # without the reports of the gallery
    python docs/site/assemble.py build/pages quick    # with the report of one suite
    python docs/site/assemble.py build/pages all
"""

import posixpath
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from command_line_page import command_line_page
from gallery import build_gallery
from tutorial_page import add_results

ROOT = Path(__file__).resolve().parents[2]
PLACES = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changes.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE.txt",
    "SECURITY.md": "security.md",
    "results/README.md": "results.md",
}
"""A file of the repository outside docs/ → its place on the site."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
LEFT_OUT = shutil.ignore_patterns("site", "*.parquet", "__pycache__")


def assemble(folder: Path, reports: Sequence[str] = ()) -> None:
    """Write all pages, with the pictures and the files that they link to.

    Args:
        folder: is replaced.
        reports: suites whose reports the gallery has; `all`: every one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=LEFT_OUT)
    for path, place in PLACES.items():
        shutil.copy(ROOT / path, folder / place)
    origins = {place: path for path, place in PLACES.items()}
    for page in folder.rglob("*.md"):
        place = page.relative_to(folder).as_posix()
        origin = origins.get(place, f"docs/{place}")
        text = page.read_text(encoding="utf-8")
        page.write_text(LINK.sub(lambda link: site_link(link[1], origin, place), text), encoding="utf-8")  # noqa: B023
    for page in (folder / "tutorials").glob("*.md"):
        add_results(page)
    (folder / "command-line.md").write_text(command_line_page(), encoding="utf-8")
    build_gallery(folder, reports)


def site_link(target: str, origin: str, place: str) -> str:
    """Where a link leads on the site. What the site has not stays as it is, and the strict build refuses it.

    Args:
        target: a path as it stands in the page, without its anchor.
        origin: the page's path in the repository.
        place: its path on the site.

    Example:
        >>> site_link("docs/ci.md", "README.md", "overview.md"), site_link("../README.md", "docs/ci.md", "ci.md")
        ('ci.md', 'overview.md')
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if (ROOT / path / "README.md").exists():
        path = f"{path}/README.md"  # a folder is shown by its first page
    if path not in PLACES and not path.startswith("docs/"):
        return target
    return posixpath.relpath(PLACES.get(path, path.removeprefix("docs/")), posixpath.dirname(place) or ".")


if __name__ == "__main__":
    assemble(Path(sys.argv[1]), sys.argv[2:])
