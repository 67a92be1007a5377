"""`l2obench test-plugin`: checks of a task or an optimizer that is not part of the package."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from l2obench.bench.commands.options import check_timeout

EXIT_BROKEN = 1


def check_plugin(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Task or optimizer: name, identity or dotted path such as mypackage.tasks:MyTask."
        ),
    ],
    timeout: Annotated[float, typer.Option(callback=check_timeout, help="Seconds that one check may take.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that a task or an optimizer works with l2obench.

    Each check runs in a process of its own and is printed with its result. Nothing is written.

    Exit codes: 0 all checks passed, 1 a check failed, 2 wrong usage.

    Examples:
        l2obench test-plugin mypackage.optimizers:MyOptimizer
        l2obench test-plugin torch.optim.Rprop
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
        print(f"{failed} of {len(found)} checks failed" if failed else f"All {len(found)} checks passed")
    if failed:
        raise typer.Exit(EXIT_BROKEN)
