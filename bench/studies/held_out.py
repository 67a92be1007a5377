"""Which tasks are held out for each shipped checkpoint: new in architecture or data by what its recipe records.

A task of another name may be alike in kind: `mnist-mlp` and `perceptron` are both perceptrons. So names decide nothing.
`python -m l2obench.bench.studies.held_out results/reference --to docs/held_out.csv` writes the table.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.learned.checkpoint import read_checkpoint

KINDS: Mapping[str, tuple[str, str]] = {
    "quadratic": ("quadratic", "drawn quadratics"),
    "ill-conditioned": ("quadratic", "drawn with eigenvalues"),
    "chained-rosenbrock": ("curved valley", "drawn starts"),
    "logistic": ("linear classifier", "breast-cancer"),
    "mnist-mlp": ("perceptron", "mnist5k"),
    "perceptron": ("perceptron", "digits"),
    "sinusoid": ("perceptron", "sine waves"),
    "regression": ("perceptron", "random smooth functions"),
    "autoencoder": ("autoencoder", "mnist5k"),
    "digit-autoencoder": ("autoencoder", "digits"),
    "cifar-cnn": ("convolutional network", "photos10"),
    "digit-cnn": ("convolutional network", "digits"),
    "char-transformer": ("transformer", "unicode-names"),
    "char-attention": ("transformer", "unicode-names"),
    "char-rnn": ("recurrent network", "unicode-names"),
    "factorisation": ("matrix factorisation", "drawn matrices"),
    "deblurring": ("picture", "drawn pictures"),
    "neural-art": ("picture", "photographs for tests"),
    "practice-vae": ("variational autoencoder", "mnist5k"),
    "practice-depthwise": ("depthwise convolutional network", "mnist5k"),
    "practice-denoiser": ("U-Net", "photos10"),
    "practice-contrastive": ("pair of encoders", "mnist5k"),
    "practice-burgers": ("physics-informed network", "Burgers' equation"),
    "practice-flow": ("normalising flow", "digits"),
    "practice-graph": ("graph network", "mnist5k"),
    "practice-coordinates": ("network of sines", "one photograph"),
}
"""Architecture and data of every task that a recipe or a reference run names, where no parameter says otherwise."""
COLUMNS = ["checkpoint", "task", "held_out", "new_architecture", "new_data", "validated_on"]


def kind_of(identity: str) -> tuple[str, str]:
    """The architecture of a task and its data.

    Args:
        identity: of the task.

    Raises:
        KeyError: the task is none of `KINDS`.

    Example:
        >>> kind_of("mnist-mlp[units=40]"), kind_of("perceptron[data=mnist1d]")
        (('perceptron', 'mnist5k'), ('perceptron', 'mnist1d'))
    """
    name, parameters = parse_identity(identity)
    architecture, data = KINDS[name]
    if name == "neural-art":
        data = f"photographs for {parameters.get('contents', 'test')}, style {parameters.get('style', 'ihc')}"
    parts = [f"{key} {parameters[key]}" for key in ("labels", "distribution") if key in parameters]
    return architecture, ", ".join([str(parameters.get("data", data)), *parts])


def is_held_out(task: str, recipe: Mapping[str, Any]) -> dict[str, bool]:
    """What a task has that the meta-training of a recipe did not have.

    Args:
        task: its identity.
        recipe: as a checkpoint records it, with those that it went on from under `started_from`.

    Returns:
        `new_architecture` and `new_data`; `validated_on`, whether the kind helped to choose the checkpoint; and
        `held_out`: new in architecture or data, and not validated on.

    Example:
        >>> is_held_out("mnist-mlp", {"task": "perceptron"})["held_out"]
        True
        >>> is_held_out("mnist-mlp[units=40]", {"task": "mnist-mlp"})["held_out"]
        False
    """
    trained = [kind_of(family) for step in _recipes(recipe) for family in step.get("mixture") or [step["task"]]]
    validated = [kind_of(family) for step in _recipes(recipe) for family in step.get("validation") or []]
    architecture, data = kind_of(task)
    new_architecture = architecture not in {kind for kind, _ in trained}
    # Who was trained on all labels had these too.
    new_data = not {data, data.partition(", labels")[0]} & {source for _, source in trained}
    by_validation = (architecture, data) in validated
    return {
        "held_out": (new_architecture or new_data) and not by_validation,
        "new_architecture": new_architecture,
        "new_data": new_data,
        "validated_on": by_validation,
    }


def measure(folders: Iterable[Path]) -> pd.DataFrame:
    """Every task of these runs for every shipped checkpoint that ran on it, a row each.

    Args:
        folders: of runs.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in folders:
        cells = RunFolder(folder).read("cells")
        for optimizer, task in cells.loc[cells["learned"].eq(True), ["optimizer", "task"]].drop_duplicates().to_numpy():
            checkpoint = str(parse_identity(optimizer)[1].get("checkpoint", "random"))
            # A suite's own trainings differ in settings, not in tasks; files and random weights have no recipe here.
            if checkpoint == "random" or "/" in checkpoint or checkpoint.endswith(".safetensors"):
                continue
            recipe = read_checkpoint(checkpoint).recipe
            rows[checkpoint, task] = {"checkpoint": checkpoint, "task": task} | is_held_out(task, recipe)
    return pd.DataFrame([rows[key] for key in sorted(rows)], columns=COLUMNS)


def _recipes(recipe: Any) -> Iterable[Mapping[str, Any]]:
    while isinstance(recipe, Mapping) and recipe:
        yield recipe
        recipe = recipe.get("started_from")


def main(
    results: Annotated[Path, typer.Argument(help="Folder of run folders.")],
    to: Annotated[Path | None, typer.Option(help="CSV file to write the rows to.")] = None,
) -> None:
    """Print which tasks are held out for each shipped checkpoint."""
    table = measure(sorted(path.parent for path in results.glob("*/manifest.json")))
    if to is not None:
        table.to_csv(to, index=False)
    typer.echo(table.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
