"""`l2obench info`: a description of a task, an optimizer or this machine."""

import json
from typing import Annotated, Any

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
    from l2obench.bench.commands.facts import collect_facts, collect_machine_facts

    facts = collect_machine_facts() if identity is None else collect_facts(identity)
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=str) if as_json else _to_text(facts))


def _to_text(facts: dict[str, Any]) -> str:
    """The facts as lines for a terminal."""
    if "environment" in facts:
        return "\n".join(f"{key}: {_plain(value)}" for key, value in facts["environment"].items())
    lines = [f"{facts['kind']} {facts['identity']} (version {facts['version']})", "", facts["description"] or "", ""]
    for key, parameter in facts["parameters"].items():
        about = " ".join((parameter["description"] or "").split())
        lines.append(f"  {key} = {parameter['value']}" + (f"    {about}" if about else ""))
    if "recipe" in facts:
        lines += [
            "",
            "Recipe of its training:",
            *(f"  {key}: {_plain(value)}" for key, value in facts["recipe"].items()),
        ]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict) else str(value)
