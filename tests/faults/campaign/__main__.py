"""The campaign of hostile inputs and kills: `python -m tests.faults.campaign`. Its table is in docs/reliability.md."""

import argparse
from pathlib import Path

from tests.faults.campaign.in_turn import run_inputs
from tests.faults.campaign.journal import Journal
from tests.faults.campaign.kills import run_kills
from tests.faults.campaign.table import write_table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="hostile inputs, of all kinds together")
    parser.add_argument("--kills", type=int, default=200, help="kills, of all kinds together")
    parser.add_argument("--seed", type=int, default=0, help="of all inputs and moments")
    parser.add_argument("--processes", type=int, default=1, help="inputs that are tried beside each other")
    parser.add_argument("--folder", type=Path, default=Path("build/campaign"), help="journal and inputs that did harm")
    parser.add_argument("--retry", action="store_true", help="make those again that did harm")
    parser.add_argument("--to", type=Path, help="page whose table is written anew")
    parser.add_argument("--command", default="make test-faults", help="as the table names it")
    given = parser.parse_args()
    folder = given.folder.resolve()
    journals = [Journal(folder / f"{what}-{given.seed}.jsonl") for what in ("inputs", "kills")]
    if given.retry:
        for journal in journals:
            journal.forget_harm()
    if given.inputs:
        run_inputs(folder, journals[0], given.seed, given.inputs, given.processes)
    if given.kills:
        run_kills(folder, journals[1], given.seed, given.kills)
    if given.to is not None:
        # Those of other seeds in the folder count too.
        every = [Journal(path) for what in ("inputs", "kills") for path in sorted(folder.glob(f"{what}-*.jsonl"))]
        write_table(given.to, every, given.command)
    harm = [made for journal in journals for made in journal.tries() if made.harm is not None]
    for made in harm:
        print(f"{made.kind} {made.number}: {made.harm}")
    return 1 if harm else 0


if __name__ == "__main__":
    raise SystemExit(main())
