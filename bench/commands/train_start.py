"""`l2obench train-start`: learning an initialisation."""

from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.options import DataDir
from l2obench.bench.commands.process import set_up

EVERY = 20  # lines in all


def train_start(
    method: Annotated[str, typer.Argument(help="maml, fomaml, reptile or meta-sgd.")],
    task: Annotated[
        str,
        typer.Option(
            "-t", "--task", help="The family, as in 'sinusoid[horizon=5]'; a start is judged after its horizon."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of start.safetensors; results/starts/METHOD-TASK unless given.")
    ] = None,
    trajectories: Annotated[int | None, typer.Option(help="Outer steps.")] = None,
    functions: Annotated[int | None, typer.Option(help="Functions in a meta-batch.")] = None,
    inner_lr: Annotated[float | None, typer.Option(help="Rate of the gradient descent from the start.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate on the start, or Reptile's ε.")] = None,
    clip: Annotated[float | None, typer.Option(help="Bound on the norm of an outer step's direction.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed trains on other functions.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a start that is there.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Learn where the functions of a family begin; for meta-sgd, the rates of its rule as well.

    Minutes on one core; one that is stopped begins anew. Use the file as in 'sinusoid[start=PATH]', and the rates as
    in 'meta-sgd[checkpoint=PATH]'.
    """
    from l2obench.bench.commands.progress import ProgressDisplay
    from l2obench.bench.metatrain.starts.training import learn_start, make_start_recipe, require_free, write_start
    from l2obench.bench.store.run_folder import cell_name

    set_up("cpu", data_dir)
    given = {
        "trajectories": trajectories,
        "functions": functions,
        "inner_lr": inner_lr,
        "lr": lr,
        "clip": clip,
        "seed": seed,
    }
    values = {key: value for key, value in given.items() if value is not None}
    recipe = make_start_recipe({"method": method, "task": task, **values})
    folder = out or Path("results/starts") / cell_name(method, task)
    require_free(folder, force)
    losses: list[float] = []
    with ProgressDisplay("learning", total=recipe.trajectories) as lines:

        def tell(step: int, loss: float) -> None:
            losses.append(loss)
            line = None
            if step % max(1, recipe.trajectories // EVERY) == 0:
                line = f"step {step} of {recipe.trajectories}: mean loss since the last {sum(losses) / len(losses):.4g}"
                losses.clear()
            lines.advance(step, line)

        learned = learn_start(recipe, tell)
    written = write_start(folder, recipe, learned, force)
    print(f"validation loss {learned.validation_loss:.5g}: {', '.join(map(str, written))}")
