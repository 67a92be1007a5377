"""`l2obench train`: meta-training."""

from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.options import DataDir, Device
from l2obench.bench.commands.process import set_up
from l2obench.bench.commands.training import finish


def train(
    rule: Annotated[
        str,
        typer.Argument(
            help="The learned optimizer, as in lstm or 'lstm[p=5]'; without parameters, with the recipe's; "
            "with a checkpoint, from there on."
        ),
    ],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--task",
            help="The family to train on; several, or 'mnist-mlp[units=10|20]', make a mixture. "
            "The recipe's, if it has any, unless given.",
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Where values not given here come from; see 'l2obench list recipes'.")
    ] = "paper",
    out: Annotated[
        Path | None, typer.Option(help="Training folder; results/training/RULE-TASK-RECIPE unless given.")
    ] = None,
    trajectories: Annotated[int | None, typer.Option(help="Trajectories in all.")] = None,
    functions: Annotated[int | None, typer.Option(help="Functions in a meta-batch.")] = None,
    unroll: Annotated[int | None, typer.Option(help="Steps of a truncation.")] = None,
    estimator: Annotated[str | None, typer.Option(help="Of the meta-gradient: tbptt, full, es, pes or nres.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Perturbation of the meta-parameters; es, pes, nres.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Antithetic pairs of perturbations; es, pes, nres.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Whom to imitate in the first trajectories, such as 'adam[lr=0.003]'.")
    ] = None,
    imitation: Annotated[int | None, typer.Option(help="How many trajectories imitate the teacher.")] = None,
    first_horizon: Annotated[
        int | None, typer.Option(help="Steps of the first trajectory; they grow to the task's horizon.")
    ] = None,
    weighting: Annotated[
        str | None, typer.Option(help="uniform, linear, exponential, final, learned, or points such as 0,0,1.")
    ] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="A family to validate on, again for each; those trained on unless given.")
    ] = None,
    random_offset: Annotated[
        bool | None, typer.Option("--random-offset", help="Truncations begin at another step in each trajectory.")
    ] = None,
    coordinate_scaling: Annotated[
        float | None, typer.Option(help="L: coordinates are scaled by exp(U[-L, L]).")
    ] = None,
    loss_scaling: Annotated[float | None, typer.Option(help="L: functions are scaled by exp(U[-L, L]).")] = None,
    objective: Annotated[
        str | None, typer.Option(help="What is weighted: loss, log-ratio (to the start) or best-so-far.")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(help="Longest memory of LSTM cells at the start, in steps; for a new rule.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate on the meta-parameters.")] = None,
    average: Annotated[
        float | None, typer.Option(help="Decay of a moving average of the meta-parameters, which is then what is kept.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Bound on the norm of the meta-gradient.")] = None,
    coordinates: Annotated[
        int | None, typer.Option(min=0, help="Coordinates of each tensor and function that carry a graph; 0: all.")
    ] = None,
    second_order: Annotated[
        bool | None,
        typer.Option("--second-order/--first-order", help="Keep second derivatives, which the paper drops."),
    ] = None,
    validate_every: Annotated[int | None, typer.Option(help="Trajectories between validations.")] = None,
    validation_functions: Annotated[int | None, typer.Option(help="Functions of a validation.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed trains on other functions.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, replacing a training that is there.")] = False,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Meta-train a learned optimizer.

    The best by validation is kept. The same command goes on where it was stopped. On several processes, with the same
    result: torchrun --nproc-per-node 2 -m l2obench train …
    """
    from l2obench.bench.config.identity import alternatives
    from l2obench.bench.config.recipe import compose
    from l2obench.bench.config.trainings import CHECKPOINT
    from l2obench.bench.metatrain.ranks import joined
    from l2obench.bench.metatrain.session import Session
    from l2obench.bench.store.run_folder import cell_name

    set_up(device, data_dir)
    families = [family for identity in tasks or () for family in alternatives(identity)]
    given = {
        "trajectories": trajectories,
        "functions": functions,
        "unroll": unroll,
        "estimator": estimator,
        "sigma": sigma,
        "pairs": pairs,
        "teacher": teacher,
        "imitation": imitation,
        "first_horizon": first_horizon,
        "weighting": weighting,
        "validation": validation or None,
        "random_offset": random_offset,
        "coordinate_scaling": coordinate_scaling,
        "loss_scaling": loss_scaling,
        "objective": objective,
        "memory": memory,
        "lr": lr,
        "average": average,
        "clip": clip,
        "coordinates": coordinates,
        "second_order": second_order,
        "validate_every": validate_every,
        "validation_functions": validation_functions,
        "seed": seed,
    }
    made = compose(rule, families, recipe, {key: value for key, value in given.items() if value is not None})
    folder = out or Path("results/training") / cell_name(rule, *([" + ".join(families)] if families else []), recipe)
    with joined() as ranks:
        session = Session(folder, made, device, force, ranks)
        if not ranks.leads:
            session.run()
            return
        if session.resumed:
            print(f"going on at trajectory {session.progress.trajectory} of {made.trajectories}")
        finish(session, "training")
    print(f"best validation loss {session.progress.best_validation:.5g}: {session.folder / CHECKPOINT}")
