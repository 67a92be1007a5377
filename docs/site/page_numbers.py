"""The numbers of a page that results must stand for: those in code, dates and settings of a run are left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

NUMBER = r"[−-]?(?:\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|∞)"
"""A number as pages write it: 0.40, 1,757, 2.3e-10, −3, ∞."""
_TOKEN = re.compile(r"(?<![\w.\0])[−-]?\d(?:[\d,]*\d)?(?:\.\d+)?(?:e-?\d+)?(?![\w\0])")
# What a reader chooses, and no run finds: 100 steps, 20 seeds, 40 units.
_UNITS = (
    *("steps", "seeds", "functions", "units", "layers", "labels", "points", "dimensions", "channels", "digits"),
    *("trainings", "meta-steps", "rates", "values", "minibatches", "suites", "checkpoints", "coordinates"),
    *("trajectories", "hidden", "rules", "baselines", "epochs", "cores", "replicas", "tasks"),
)
_SETTING = re.compile(rf"\s*-?(?:{'|'.join(unit + '?' if unit.endswith('s') else unit for unit in _UNITS)})\b")
_NO_RESULT = re.compile(
    r"\d{4}-\d\d-\d\d(?:(?:,| and| to) \d\d)*|\b(?:19|20)\d\d\b|Python 3\.\d+|95 %|arXiv \d+\.\d+|"
    r"\b[Ss]ections? \d+(?:\.\d+)?|\b[Ff]igures? \d+|[Aa]pache-[\d.]+|\b\d+(?:st|nd|rd|th)\b"
)


@dataclass(frozen=True)
class Token:
    """A number in a line."""

    text: str
    start: int
    end: int


def numbers_of(line: str) -> list[Token]:
    """The numbers of a line that results must stand for.

    Args:
        line: of a page, outside code blocks.

    Example:
        >>> [token.text for token in numbers_of("| `adam[lr=0.1]`, 100 steps | **0.40** (0.33–0.48) |")]
        ['0.40', '0.33', '0.48']
    """
    plain = _hide(line)
    left_out = [match.span() for match in _NO_RESULT.finditer(plain)]
    return [
        Token(match[0], *match.span())
        for match in _TOKEN.finditer(plain)
        if not any(first <= match.start() < last for first, last in left_out)
        and not _SETTING.match(plain[match.end() :])
    ]


def lines_of(page: str) -> Iterator[tuple[int, str, str]]:
    """The lines of a page outside code blocks: the number of the line, the heading of its section, and its text.

    Args:
        page: its text.
    """
    fenced, section = False, ""
    for at, line in enumerate(page.splitlines()):
        if line.startswith("```"):
            fenced = not fenced
        elif line.startswith("#") and not fenced:
            section = line.lstrip("# ")
        elif not fenced and not line.startswith("    "):
            yield at, section, line.strip()


def _hide(line: str) -> str:
    """A line of the same length without inline code, and without the targets of links."""
    line = re.sub(r"`[^`]*`", lambda found: "\0" * len(found[0]), line)
    return re.sub(r"\]\([^)]*\)", lambda found: "]" + "\0" * (len(found[0]) - 1), line)
