"""`l2obench updates`: what optimizers propose, given one history of gradients."""

from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.options import DataDir
from l2obench.bench.commands.process import set_up


def updates(
    task: Annotated[str, typer.Option("-t", "--task", help="The family; one function of it is followed.")],
    optimizer: Annotated[
        list[str], typer.Option("-o", "--optimizer", help="Optimizers; the first makes the trajectory. Repeatable.")
    ],
    step: Annotated[
        list[int] | None, typer.Option(min=2, help="Steps at which the last gradient is varied. Repeatable.")
    ] = None,
    coordinate: Annotated[
        int | None, typer.Option(min=0, help="The coordinate; that of the largest gradients unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Index of the evaluation seed whose function is followed.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the figure and its numbers.")] = Path("results/updates"),
    data_dir: DataDir = None,
) -> None:
    """Draw proposed updates of one coordinate.

    Along the trajectory of the first optimizer, and as a function of the last gradient.
    """
    set_up("cpu", data_dir)

    from l2obench.bench.config.registry import identity_of, optimizer_registry, task_registry
    from l2obench.bench.measure.updates import proposals
    from l2obench.bench.store.files import write_atomically
    from l2obench.bench.store.run_folder import StoreError
    from l2obench.reports.figures.updates import draw_updates

    family = task_registry().create(task)
    family.require_data()
    rules = [optimizer_registry().create(identity).for_groups(family.groups) for identity in dict.fromkeys(optimizer)]
    found = proposals(family, rules, step, coordinate, seed)
    title = f"{found.place} of {identity_of(family)}, on the trajectory of {identity_of(rules[0])}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("history", "responses"):
            write_atomically(out / f"{name}.parquet", getattr(found, name).to_parquet())
        draw_updates(title, found.history, found.responses, out / "updates")
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror}; choose another --out") from error
    print(f"coordinate {found.coordinate}, {found.place}: {out / 'updates.png'}")
