"""The table of a campaign in docs/reliability.md, written anew by the command that stands beside it."""

import datetime
import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.faults.campaign.inputs import KINDS
from tests.faults.campaign.journal import Journal
from tests.faults.campaign.kills import CLUSTER, VICTIMS

BEGIN, END = "<!-- campaign -->", "<!-- end of the campaign -->"
TITLES = {
    **{name: kind.title for name, kind in KINDS.items()},
    **{name: f"`kill -9` of {victim.title}" for name, victim in VICTIMS.items()},
    "cluster": f"`kill -9` of {CLUSTER}",
}


def write_table(page: Path, journals: Iterable[Journal], command: str) -> None:
    """Write the table between its two marks.

    Args:
        page: Markdown with the marks.
        journals: all tries.
        command: that made them.
    """
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{format_table(journals, command)}{END}{after}", encoding="utf-8")


def format_table(journals: Iterable[Journal], command: str) -> str:
    """The table, and a line with the date, the machine and the command.

    Args:
        journals: all tries.
        command: that made them.
    """
    lines = ["| provoked | tries | what came of it | harm |", "|---|---:|---|---|"]
    whole: Counter[str] = Counter()
    found: dict[str, Counter[str]] = {}
    for journal in journals:
        for kind, counts in journal.counts().items():
            found.setdefault(kind, Counter()).update(counts)
    for kind in TITLES:
        if counts := found.get(kind):
            tries = counts["tries"]
            harm = {name.removeprefix("harm: "): count for name, count in counts.items() if name.startswith("harm: ")}
            ends = [(name, count) for name, count in counts.most_common() if name != "tries" and "harm: " not in name]
            said = ", ".join(f"{name}: {count:,}" for name, count in ends) or "nothing else"
            wrong = ", ".join(f"{name}: {count}" for name, count in harm.items()) or "none"
            lines.append(f"| {TITLES[kind]} | {tries:,} | {said} | {wrong} |")
            whole["tries"] += tries
            whole["harm"] += sum(harm.values())
    today = datetime.date.today().isoformat()
    where = f"{today}, {_processor()}, {platform.system()}"
    said = f"{whole['tries']:,} tries, {whole['harm']:,} with harm. {where}: `{command}`."
    return "\n".join([*lines, "", said, ""])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
