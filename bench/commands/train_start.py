"""`l2obench train-start`: learning an initialization."""

from pathlib import Path
from typing import Annotated, Any

import typer

from l2obench.bench.commands.completion import complete_method, complete_task
from l2obench.bench.commands.model_options import select_given, with_options_of
from l2obench.bench.commands.options import DataDir
from l2obench.bench.commands.process import prepare_process
from l2obench.bench.config.start_recipe import MethodName, StartRecipe, make_start_recipe

PROGRESS_LINES = 20
GROUPS = {
    "Training": ["trajectories", "functions", "inner_lr", "lr", "final_lr", "clip", "validation_functions", "seed"],
}


@with_options_of(StartRecipe, GROUPS)
def train_start(
    method: Annotated[
        MethodName,
        typer.Argument(metavar="METHOD", help="maml, fomaml, reptile or meta-sgd.", autocompletion=complete_method),
    ],
    task: Annotated[
        str,
        typer.Option(
            "-t",
            "--task",
            help="Task family, such as 'sinusoid[horizon=5]'. A start is judged at its horizon.",
            autocompletion=complete_task,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. [default: results/starts/METHOD-TASK]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the start in the folder.")] = False,
    data_dir: DataDir = None,
    **values: Any,
) -> None:
    """Learn an initialization for the functions of a task family.

    meta-sgd also learns a rate for each parameter. Training takes minutes on one core and cannot be resumed.

    Files:
        start.safetensors        the initialization: 'sinusoid[start=FILE]'
        checkpoint.safetensors   only from meta-sgd, the learned rates: 'meta-sgd[checkpoint=FILE]'

    Exit codes: 0 finished, 2 wrong usage, 3 the training diverged, 130 interrupted, 143 terminated.

    Examples:
        l2obench train-start maml -t 'sinusoid[horizon=5]' --out results/starts/maml
        l2obench run -t 'sinusoid[horizon=5,start=results/starts/maml/start.safetensors]' -o sgd
    """
    from l2obench.api.progress import ProgressDisplay
    from l2obench.bench.metatrain.starts.training import learn_start, require_free, write_start
    from l2obench.bench.store.results_file import cell_name

    prepare_process("cpu", data_dir)
    recipe = make_start_recipe({"method": method, "task": task, **select_given(values)})
    folder = out or Path("results/starts") / cell_name(method, task)
    require_free(folder, force)
    losses: list[float] = []
    with ProgressDisplay("learning", total=recipe.trajectories) as display:

        def show_progress(step: int, loss: float) -> None:
            losses.append(loss)
            line = None
            if step % max(1, recipe.trajectories // PROGRESS_LINES) == 0:
                line = f"step {step} of {recipe.trajectories}: mean loss since the last {sum(losses) / len(losses):.4g}"
                losses.clear()
            display.advance(step, line)

        learned = learn_start(recipe, show_progress)
    written = write_start(folder, recipe, learned, force)
    print(f"Validation loss {learned.validation_loss:.5g}. Written to {', '.join(map(str, written))}")
