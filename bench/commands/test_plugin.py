"""`l2obench test-plugin`: the contract test."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from l2obench.bench.commands.options import check_timeout

EXIT_BROKEN = 1


def check_plugin(
    identity: Annotated[
        str, typer.Argument(metavar="NAME", help="A task or an optimizer: by name, identity or dotted path.")
    ],
    timeout: Annotated[float, typer.Option(callback=check_timeout, help="Seconds that one check may take.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check a task or an optimizer against the contract.

    Ends with 0 if it is kept, with 1 if a check failed.
    """
    from l2obench.bench.run.plugin_test import find_subject, findings

    subject = find_subject(identity)
    if subject.kind == "task":
        subject.model.require_data()
    found = []
    if not as_json:
        print(f"{subject.kind} {subject.identity}")
    for item in findings(subject, timeout):
        found.append(item)
        if not as_json:
            print(f"  {item.status:<8} {item.check}" + (f": {item.finding}" if item.finding else ""), flush=True)
    failed = sum(item.status == "failed" for item in found)
    if as_json:
        facts = {"kind": subject.kind, "identity": subject.identity, "kept": not failed}
        print(json.dumps(facts | {"checks": [asdict(item) for item in found]}, indent=2, ensure_ascii=False))
    else:
        print(f"{failed} of {len(found)} checks failed" if failed else "the contract is kept")
    if failed:
        raise typer.Exit(EXIT_BROKEN)
