"""The numbers of a page that results must stand for: code, dates, and what a reader or an author sets, are left out.

In a table the header and the first column say what was run; columns of settings say it too. No result stands there.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

NUMBER = r"[−-]?(?:\d[\d,]*(?:\.\d+)?(?:e-?\d+|·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?|∞)"
"""A number as pages write it: 0.40, 1,757, 2.3e-10, 3·10⁶, −3, ∞."""
_TOKEN = re.compile(r"(?<![\w.\0])[−-]?\d(?:[\d,]*\d)?(?:\.\d+)?(?:e-?\d+)?(?![\w\0])")
# What a reader chooses, and no run finds: 100 steps, 20 seeds, 40 units.
_UNITS = (
    *("steps", "seeds", "functions", "units", "layers", "labels", "points", "dimensions", "channels", "digits"),
    *("trainings", "meta-steps", "rates", "values", "minibatches", "suites", "checkpoints", "coordinates"),
    *("trajectories", "hidden", "rules", "baselines", "epochs", "cores", "replicas", "tasks", "quadratics"),
    *("photographs", "families", "networks", "parameters", "images", "windows", "characters", "examples", "words"),
    *(
        "signals",
        "inputs",
        "outputs",
        "pairs",
        "blocks",
        "resamples",
        "cells",
        "perceptrons",
        "samples",
        "regressions",
        "workers",
        "kills",
    ),
)
_KINDS = (
    "real|random|training|tuning|test|validation|evaluation|sigmoid|antithetic|Gaussian|hidden|MNIST|fresh|small|noisy"
)
_SETTING = re.compile(
    rf"(?:(?:, \d[\d,]*)* (?:to|and|or) \d[\d,]*)?\s*-?(?:(?:{_KINDS}) )?"
    rf"(?:{'|'.join(unit + '?' if unit.endswith('s') else unit for unit in _UNITS)})\b"
)
# What the text itself sets: how large or long something was made, a rate, a distribution, names, dates, formulas.
_NO_RESULT = re.compile(
    # Sizes: a minibatch of 32, widths 784–64, width 32, 8×8, steps 0, 16 and 32, trajectory 60.
    r"\b(?:(?:mini)?batch(?:es)?|layers?|trajector(?:y|ies)|truncations?|windows?|width|context) of \d[\d,]*"
    r"(?: (?:and|or) \d+)?|\bwidths \d+(?:–\d+)+|\b(?:width|context|unroll) \d+\b|\btrajectory \d[\d,]*|"
    r"\b\d+ ?× ?\d+(?: ?× ?\d+)?\b|\b[Ss]teps? [\d,]*\d(?:, \d+)*(?: (?:to|and) \d+)?|"
    # A learning rate, but no rate of wins or failures; the spread of a perturbation; condition numbers.
    r"(?<!win )(?<!ailure )\b(?:[Rr]ates?(?: of)?|σ =|κ of) [\d.]*\d(?:e-\d+)?(?:, [\d.,]*\d)*(?! ?%)(?!\d)|"
    r"\b[NU]?[\[(][−-]?\d[\d.]*²?, [\d.]+²?[\])]|"
    # Data, licences, versions.
    r"\b(?:MNIST|CIFAR|AVX|CC BY|BSD|Unicode|tensorboard|wandb|mlflow-skinny|Falcon)[ -]\d[\d.]*|Python 3\.\d+|"
    r"SHA-256|[Aa]pache-[\d.]+|arXiv \d+\.\d+|"
    # The number of an item, an exit code, bits, a share of a horizon, where a ratio or a difference is none, a formula.
    r"^\d+\. |\bexit codes? \d+(?:, \d+)*(?:,? (?:and|or) \d+)*|\b\d+[- ]bits?\b|\b1/\d\b|"
    r"(?<!·)\b(?:2|10)[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|"
    r"\b(?:[Bb]elow|[Aa]bove|exceeds?|excludes|side of|[Nn]ear|at) [01]\b(?![.,]\d)|"
    r"\bln \d+\b|[A-Za-z)] [+−·] \d\b|\b\d [+−·] [A-Za-zα-ω(|]|95 %|"
    r"\d{4}-\d\d-\d\d(?:(?:,| and| to) \d\d)*|\b(?:19|20)\d\d\b|"
    r"\b[Ss]ections? \d+(?:\.\d+)?|\b[Ff]igures? \d+|\b\d+(?:st|nd|rd|th)\b"
)
# What the columns of a table hold that no run finds.
_SETTINGS_COLUMN = re.compile(
    r"layers|units|output scale|truncation|seeds|default \[?horizon.*|limit|minibatch|rate|source|trained on|"
    r"check|compared|recipe|published in|what it is( for)?|reach|aim|what is minimised|data|number, horizon|"
    r"a failed seed counts as|factor of the rate.*|how often|outer steps",
    re.IGNORECASE,
)
_BEGIN, _END = re.compile(r"<!-- (begin: \w+|campaign) -->"), re.compile(r"<!-- end.* -->")


@dataclass(frozen=True)
class Token:
    """A number in a line."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Text:
    """A line of a page, outside code blocks."""

    line: str
    numbers: list[Token]
    """Those that results must stand for."""


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


def lines_of(page: str) -> Iterator[tuple[int, str, Text]]:
    """The lines of a page outside code blocks and generated parts: number, heading of the section, and text.

    Args:
        page: its text.
    """
    fenced, generated, section = False, False, ""
    header: list[str] | None = None
    for at, line in enumerate(page.splitlines()):
        text = line.strip()
        generated = (generated or bool(_BEGIN.match(text))) and not _END.match(text)
        if line.startswith("```"):
            fenced = not fenced
        elif line.startswith("#") and not fenced:
            section, header = line.lstrip("# "), None
        elif not text.startswith("|"):
            header = None
            if not fenced and not generated and not line.startswith("    "):
                yield at, section, Text(text, numbers_of(text))
        elif not generated:
            cells = text.split("|")
            if header is None:
                header = cells
            else:
                yield at, section, Text(text, list(_results(text, cells, header)))


def _results(text: str, cells: Sequence[str], header: Sequence[str]) -> Iterator[Token]:
    """The numbers of a row of a table outside its first column, and outside columns of settings."""
    ends = list(accumulate(len(cell) + 1 for cell in cells))
    for token in numbers_of(text):
        column = bisect_right(ends, token.start)
        if column > 1 and not (column < len(header) and _SETTINGS_COLUMN.fullmatch(header[column].strip())):
            yield token


def _hide(line: str) -> str:
    """A line of the same length without inline code, descriptions of pictures, and targets of links."""
    line = re.sub(r"`[^`]*`|!\[[^\]]*\]", lambda found: "\0" * len(found[0]), line)
    return re.sub(r"\]\([^)]*\)", lambda found: "]" + "\0" * (len(found[0]) - 1), line)
