"""`l2obench updates`: plots of the updates that optimizers propose for the same gradients."""

from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.completion import complete_optimizer, complete_task
from l2obench.bench.commands.options import DataDir
from l2obench.bench.commands.process import prepare_process


def updates(
    task: Annotated[
        str,
        typer.Option(
            "-t",
            "--task",
            metavar="<task>",
            help="Task family. One of its functions is used.",
            autocompletion=complete_task,
        ),
    ],
    optimizer: Annotated[
        list[str],
        typer.Option(
            "-o",
            "--optimizer",
            metavar="<optimizer>",
            help="Optimizer. The first makes the trajectory. Repeatable.",
            autocompletion=complete_optimizer,
        ),
    ],
    step: Annotated[
        list[int] | None,
        typer.Option(metavar="<int>", min=2, help="Step at which the last gradient is varied. Repeatable."),
    ] = None,
    coordinate: Annotated[
        int | None, typer.Option(min=0, help="Coordinate to plot. Unless given, the one with the largest gradients.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Index of the evaluation seed that draws the function.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("results/updates"),
    data_dir: DataDir = None,
) -> None:
    """Plot the updates that optimizers propose for the same gradients.

    The figure shows one coordinate: its updates along the trajectory of the first optimizer, and its update as a
    function of the last gradient.

    Files:
        updates.png, updates.svg, updates.pdf   the figure
        history.parquet, responses.parquet      its numbers

    Exit codes: 0 finished, 2 wrong usage.

    Examples:
        l2obench updates -t quadratic -o adam -o 'lstm[checkpoint=quadratic]' --step 10 --step 50
    """
    prepare_process("cpu", data_dir)

    from l2obench.bench.config.registry import identify, optimizer_registry, task_registry
    from l2obench.bench.measure.updates import proposals
    from l2obench.bench.store.files import write_atomically
    from l2obench.bench.store.results_file import StoreError
    from l2obench.reports.figures.updates import draw_updates

    family = task_registry().create(task)
    family.require_data()
    rules = [optimizer_registry().create(identity).for_groups(family.groups) for identity in dict.fromkeys(optimizer)]
    found = proposals(family, rules, step, coordinate, seed)
    title = f"{found.place} of {identify(family)}, on the trajectory of {identify(rules[0])}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("history", "responses"):
            write_atomically(out / f"{name}.parquet", getattr(found, name).to_parquet())
        draw_updates(title, found.history, found.responses, out / "updates")
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror}; choose another --out") from error
    print(f"Figure of coordinate {found.coordinate} ({found.place}) written to {out / 'updates.png'}")
