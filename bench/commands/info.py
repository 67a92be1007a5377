"""`l2obench info`: a description of a task, an optimizer or this machine."""

import json
from typing import Annotated

import typer


def info(
    identity: Annotated[
        str | None, typer.Argument(help="Task, optimizer or checkpoint. Unless given, this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a task, an optimizer or this machine.

    It prints each parameter with its value and meaning. For a checkpoint it also prints the recipe of its training.

    Exit codes: 0 finished, 2 wrong usage.

    Examples:
        l2obench info mnist-mlp
        l2obench info 'lstm[checkpoint=mnist]'
        l2obench info
    """
    from l2obench.bench.commands.description import describe, describe_machine, show

    facts = describe_machine() if identity is None else describe(identity)
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=str) if as_json else show(facts))
