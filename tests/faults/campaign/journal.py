"""What came of each try, a line of JSON each: a campaign that was stopped goes on where it was."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Try:
    """One input, or one kill."""

    kind: str
    number: int
    outcome: str
    """What came of it."""
    harm: str | None
    """What was wrong; none: nothing."""


class Journal:
    """The tries so far, in a file.

    Args:
        path: of the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def tries(self) -> Iterator[Try]:
        """Every try, in the order in which they were made. A line that was cut by a kill is passed over."""
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    yield Try(**json.loads(line))
                except ValueError:
                    continue

    def forget_harm(self) -> None:
        """Take out the tries that did harm, so that they are made again, by code that was mended since."""
        kept = [made for made in self.tries() if made.harm is None]
        self.path.write_text("".join(json.dumps(asdict(made)) + "\n" for made in kept), encoding="utf-8")

    def add(self, made: Try) -> None:
        """Add a try, at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(made)) + "\n")

    def counts(self) -> dict[str, Counter[str]]:
        """How often each kind ended how; `harm: …` where something was wrong, and `tries`."""
        found: dict[str, Counter[str]] = {}
        for made in self.tries():
            counter = found.setdefault(made.kind, Counter())
            counter["tries"] += 1
            counter[made.outcome if made.harm is None else f"harm: {made.harm}"] += 1
        return found
