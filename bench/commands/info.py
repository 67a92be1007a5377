"""`l2obench info`: what a task, an optimizer or this machine is."""

import json
from typing import Annotated

import typer


def info(
    identity: Annotated[str | None, typer.Argument(help="A task, an optimizer, or nothing for this machine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Describe a task, an optimizer or this machine.

    Parameters with their meaning and, for a trained optimizer, its recipe.
    """
    from l2obench.bench.commands.description import describe, describe_machine, show

    facts = describe_machine() if identity is None else describe(identity)
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=str) if as_json else show(facts))
