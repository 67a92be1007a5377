"""`l2obench info`: a description of whatever has a name here, or of this machine."""

import json
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import complete_name
from l2obench.foundation.names import explain_unknown

# More than so many items are easier to read below one another.
LONG_LIST = 6
KINDS = ("task", "optimizer", "checkpoint", "results", "suite", "recipe")


def info(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Task, optimizer, checkpoint, suite, recipe or results folder. Unless given, this machine.",
            autocompletion=complete_name,
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Kind of the name, where several have it: task, suite, recipe or another.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a task, an optimizer, a suite, results or this machine.

    Of a task or an optimizer it prints each parameter with its value and meaning, and the recipe of its training. Of a
    suite it prints what runs, of a results folder what is there.

    Exit codes: 0 finished, 2 wrong usage.

    Examples:
        l2obench info mnist-mlp
        l2obench info 'lstm[checkpoint=mnist]'
        l2obench info paper --kind recipe
        l2obench info results/quick
        l2obench info
    """
    from l2obench.bench.commands.facts import collect_facts, collect_machine_facts, kinds_of

    if kind is not None and kind not in KINDS:
        raise TyperException(explain_unknown("--kind", kind, KINDS))
    if name is None:
        facts = collect_machine_facts()
    else:
        found = kinds_of(name)
        if kind is not None and kind not in found:
            raise TyperException(f"{name} is no {kind}. Try: l2obench info {name}")
        facts = collect_facts(name, kind or next(iter(found), None))
        facts |= {"also": [other for other in found if other != facts["kind"]]}
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=str) if as_json else _to_text(facts, name))


def _to_text(facts: dict[str, Any], name: str | None) -> str:
    """The facts as lines for a terminal."""
    also = [f"Also a {kind}: l2obench info {name} --kind {kind}" for kind in facts.pop("also", [])]
    if facts.keys() == {"environment"}:
        lines = _lines(facts["environment"])
    elif "parameters" in facts:
        lines = _parameter_lines(facts)
    else:
        lines = _lines(facts)
    return "\n".join([*lines, *(["", *also] if also else [])])


def _parameter_lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"{facts['kind']} {facts['identity']} (version {facts['version']})"]
    if facts["description"]:
        lines += ["", facts["description"]]
    if "uses" in facts:
        lines += ["", f"It uses: {', '.join(facts['uses'])}"]
    lines += ["", "Parameters:"]
    for key, parameter in facts["parameters"].items():
        about = " ".join((parameter["description"] or "").split())
        lines.append(f"  {key} = {parameter['value']}" + (f"    {about}" if about else ""))
    titles = {"search_space": "A budget of trials searches:", "model": "Model:", "recipe": "Recipe of its training:"}
    for key, title in titles.items():
        if facts.get(key):
            lines += ["", title, *_lines(facts[key], "  ")]
    return lines


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    """A line for each fact. What is nested stands below its name."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and len(value) > LONG_LIST:
            lines += [f"{indent}{key}:", *(f"{indent}  {item}" for item in value)]
        else:
            text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
            lines.append(f"{indent}{key}: {text}")
    return lines
