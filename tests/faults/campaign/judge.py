"""What a command must not do, whatever it was given: the verdict on one ending, in a word or two."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 10.0
# 1 and 5 are verdicts of `check`, 4 its "nothing comparable", 3 a run of which a cell failed.
CODES = {0, 1, 2, 3, 4, 5}
VERDICTS = {1, 4, 5}
LONGEST_LINE = 2100
# An input may have files of terabytes, which are empty.
LARGEST_HASHED = 2**24
# Escape codes, other controls, and signs that turn the direction of writing.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int | str
    """Its exit code; `hang` where it was stopped at its limit; the name of an exception that came out of it."""
    seconds: float
    """Of processor time."""
    out: str
    err: str


def judge(ending: Ending, prints: bool = False, runs: bool = False) -> str | None:
    """Say what is wrong with an ending.

    Args:
        ending: how a command ended.
        prints: whether the input may write to stderr itself.
        runs: whether the command computed: a damaged file of an earlier start is then named, and changes no exit code.

    Returns:
        None where nothing is.
    """
    if ending.code == "hang" or ending.seconds > LIMIT_SECONDS:
        return "hang"
    if "Traceback" in ending.err or not isinstance(ending.code, int):
        return "traceback"
    if ending.code not in CODES:
        return f"exit code {ending.code}"
    if CONTROLS.search(ending.out) or CONTROLS.search(ending.err):
        return "control characters"
    lines = ending.err.splitlines()
    if prints:
        # What was written without a line's end stands before ours.
        lines = [line[line.index("l2obench: ") :] for line in lines if "l2obench: " in line]
    if any(not line.startswith("l2obench: ") or len(line) > LONGEST_LINE for line in lines):
        return "other lines on stderr"
    if ending.code == 0 and lines and not runs:
        return "a complaint, and exit code 0"
    if ending.code == 2 and len(lines) != 1:
        return f"{len(lines)} lines for one mistake"
    if ending.code == 3 and not lines:
        return "failed in silence"
    return None


def describe_outcome(code: int | str) -> str:
    """What came of an input that did no harm."""
    return {0: "accepted", 2: "one line, exit code 2", 3: "rows or a line, exit code 3"}.get(code, "a verdict")  # type: ignore[call-overload, no-any-return]


def digests(folder: Path) -> dict[str, str]:
    """A hash of every file below a folder, by its path; of a special file, its kind."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            found[str(path)] = "directory" if path.is_dir() else "special"
        elif path.stat().st_size > LARGEST_HASHED:
            found[str(path)] = f"{path.stat().st_size} bytes"
        else:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
