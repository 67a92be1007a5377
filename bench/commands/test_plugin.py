"""`l2obench test-plugin`: checks of a task or an optimizer that is not part of the package."""

import contextlib
import json
from dataclasses import asdict
from typing import Annotated

import typer

from l2obench.bench.commands.completion import complete_model
from l2obench.bench.commands.options import check_timeout

EXIT_BROKEN = 1


def check_plugin(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Task or optimizer: name, identity or dotted path such as mypackage.tasks:MyTask.",
            autocompletion=complete_model,
        ),
    ],
    timeout: Annotated[float, typer.Option(callback=check_timeout, help="Seconds for one requirement.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test whether a task or an optimizer works with l2obench.

    Each requirement is tested in a separate process and printed with its result. Nothing is written.

    Exit codes: 0 all requirements met, 1 one is not met, 2 wrong usage.

    Examples:
        l2obench test-plugin mypackage.optimizers:MyOptimizer
        l2obench test-plugin ./mine.py:MyTask
        l2obench test-plugin torch.optim.Rprop
    """
    from l2obench.bench.run.plugin_test import examine, find_subject
    from l2obench.tasks.modules.batches import BadModule

    subject = find_subject(identity)
    if subject.kind == "task":
        with contextlib.suppress(BadModule):  # the requirements say what is wrong
            subject.model.require_data()
    found = []
    if not as_json:
        print(f"{subject.kind} {subject.identity}")
    for item in examine(subject, timeout):
        found.append(item)
        if not as_json:
            print(f"  {item.status:<8} {item.requirement}" + (f": {item.finding}" if item.finding else ""), flush=True)
    failed = sum(item.status == "failed" for item in found)
    if as_json:
        facts = {"kind": subject.kind, "identity": subject.identity, "passed": not failed}
        print(json.dumps(facts | {"findings": [asdict(item) for item in found]}, indent=2, ensure_ascii=False))
    else:
        print(f"{failed} of {len(found)} requirements not met" if failed else f"All {len(found)} requirements met")
    if failed:
        raise typer.Exit(EXIT_BROKEN)
