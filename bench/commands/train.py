"""`l2obench train`: meta-training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from l2obench.bench.commands.completion import complete_optimizer, complete_recipe, complete_task
from l2obench.bench.commands.model_options import select_given, with_options_of
from l2obench.bench.commands.options import DataDir, Device, Log
from l2obench.bench.commands.process import prepare_process
from l2obench.bench.config.identity import alternatives
from l2obench.bench.config.recipe import Recipe

GROUPS = {
    "Amount of training": ["trajectories", "functions", "unroll", "first_horizon", "random_offset", "seed"],
    "Whole trajectories of several families": ["families", "min_horizon", "max_horizon"],
    "Meta-gradient": ["estimator", "second_order", "coordinates", "clip", "sigma", "pairs", "standardise", "fused"],
    "Meta-objective": [
        "objective",
        "least_ratio",
        "heldout_share",
        "weighting",
        "boundary_losses",
        "coordinate_scaling",
        "tensor_scaling",
        "displacement_scaling",
        "loss_scaling",
    ],
    "Meta-optimizer": ["lr", "final_lr", "average"],
    "Initialization": ["init_std", "memory", "teacher", "imitation"],
    "Validation": ["validation", "validate_every", "validation_functions"],
}
"""Where the help shows each field of a `Recipe`; the others are given by RULE and --task."""


@with_options_of(Recipe, GROUPS, flags={"second_order": "--second-order/--first-order"})
def train(
    rule: Annotated[
        str,
        typer.Argument(
            metavar="RULE",
            help="Learned optimizer to train, such as lstm or 'lstm[p=5]'. Without parameters it takes the recipe's. "
            "With a checkpoint, training begins with its meta-parameters.",
            autocompletion=complete_optimizer,
        ),
    ],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--task",
            metavar="<task>",
            help="Task family to train on. Repeat it, or write 'mnist-mlp[units=10|20]', to train on several. "
            "Unless given, the recipe's families.",
            autocompletion=complete_task,
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="Recipe that gives all values not given here. See: l2obench list recipes",
            autocompletion=complete_recipe,
        ),
    ] = "paper",
    out: Annotated[
        Path | None, typer.Option(help="Training folder. [default: results/training/RULE-TASK-RECIPE]")
    ] = None,
    replicates: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train the recipe with so many seeds, from --seed on, each in its own folder. A claim about a recipe "
            "needs three or more.",
        ),
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Begin anew and replace the training in the folder.")] = False,
    log: Log = "",
    device: Device = "cpu",
    data_dir: DataDir = None,
    **values: Any,
) -> None:
    """Meta-train a learned optimizer and keep the best checkpoint.

    Values come from the options, then from the recipe, then from the defaults below; 0 takes away a number of the
    recipe that has no default. The same command resumes a training that was stopped, and ends with the same numbers.

    Files in the training folder:
        checkpoint.safetensors   best meta-parameters by validation, with the recipe
        log.csv, meta-loss.png   losses of each trajectory
        state.safetensors        what resuming needs
        baseline.json            the best tuned baseline on the validation functions
        tensorboard/, …          with --log; see it with: tensorboard --logdir results/training
        replicate-1, …           the same for each training, with --replicates

    Exit codes: 0 finished, 2 wrong usage, 3 the training diverged or lost a process, 130 interrupted, 143 terminated.

    Examples:
        l2obench train lstm -t quadratic --recipe shipped
        l2obench train lstm -t quadratic --log tensorboard
        l2obench train lstm -t quadratic --replicates 5 --out results/training/five
        l2obench train 'lstm[checkpoint=mnist]' -t mnist-mlp --trajectories 100 --out results/training/longer
        torchrun --nproc-per-node 2 -m l2obench train lstm -t mnist-mlp   # two processes, the same numbers
    """
    from l2obench.api.training_session import plan_training, replicate, train_and_compare
    from l2obench.api.training_summary import summarize_training
    from l2obench.bench.loggers.choice import read_tools
    from l2obench.bench.metatrain.process_group import init_process_group
    from l2obench.bench.metatrain.session import Session

    tools = read_tools(log)
    prepare_process(device, data_dir)
    families = [family for identity in tasks or () for family in alternatives(identity)]
    folder, composed = plan_training(rule, families, recipe, select_given(values), out)
    with init_process_group() as group:
        for number, (place, seeded) in enumerate(replicate(folder, composed, replicates), start=1):
            session = Session(place, seeded, device, force, group)
            if not group.is_main:
                session.run()
                continue
            if session.resumed:
                print(f"resuming at trajectory {session.progress.trajectory} of {composed.trajectories}")
            name = "training" if replicates == 1 else f"training {number} of {replicates}"
            for line in summarize_training(session, train_and_compare(session, name, tools)):
                print(line)
