"""`l2obench list`: the names that other commands take."""

import json
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import complete_kind
from l2obench.foundation.names import explain_unknown


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="tasks, optimizers, suites, checkpoints, starts or recipes. Unless given, all.",
            autocompletion=complete_kind,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List tasks, optimizers, suites, checkpoints, starts and recipes.

    Installed plugins are listed too.

    Exit codes: 0 finished, 2 wrong usage.

    Examples:
        l2obench list
        l2obench list optimizers --json
    """
    from l2obench.api.listing import list_everything

    found = list_everything()
    if what is not None and what not in found:
        raise TyperException(explain_unknown("list", what, found))
    shown = {what: found[what]} if what else found
    if as_json:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for title, entries in shown.items():
        print(title)
        width = max(map(len, entries), default=0)
        for name, summary in entries.items():
            print(f"  {name:<{width}}  {summary}")
