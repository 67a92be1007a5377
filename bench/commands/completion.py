"""What the shell offers at the tabulator: names of tasks, optimizers, suites, recipes and runs.

Each function takes what was typed so far, and gives the names that begin so, with a line about each. It reads tables
and names of files, and imports nothing that takes longer than a user waits for a key.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from l2obench.bench.config.shipped import description, recipe_names, suite_names
from l2obench.optimizers import RULES, rule_of_checkpoint, shipped_checkpoints
from l2obench.tasks import FAMILIES

METHODS = {
    "maml": "gradients through the steps from the start",
    "fomaml": "the same without second derivatives",
    "reptile": "moves the start towards where the steps end",
    "meta-sgd": "learns a rate for each parameter too",
}
TUNING = {
    "grid": "learning rates on a grid",
    "halving": "successive halving of the grid, for slow tasks",
    "off": "nothing is tuned",
    "budget=32": "32 trials of all that an optimizer declares",
    "heldout-budget=32": "the same, chosen by held-out loss",
}
LOGS = {
    "tensorboard": "event files, through torch's own writer",
    "wandb": "Weights & Biases, offline unless WANDB_MODE is set",
    "mlflow": "MLflow, in files unless MLFLOW_TRACKING_URI is set",
}
KINDS = ("tasks", "optimizers", "suites", "checkpoints", "starts", "recipes")
DATA_SETS = ("mnist5k", "photos10", "mnist1d", "mnist", "cifar10", "vgg16")

Items = Iterable[tuple[str, str]]
"""Names, each with a line about it, which some shells show."""


def complete_task(incomplete: str) -> list[tuple[str, str]]:
    """Task families."""
    return _matching(incomplete, ((name, summary) for name, (_, summary) in FAMILIES.items()))


def complete_optimizer(incomplete: str) -> list[tuple[str, str]]:
    """Optimizers, and learned ones with each of their shipped checkpoints."""
    rules = ((name, summary) for name, (_, summary) in RULES.items())
    return _matching(incomplete, [*rules, *_checkpoints()])


def complete_tune(incomplete: str) -> list[tuple[str, str]]:
    """Ways of tuning."""
    return _matching(incomplete, TUNING.items())


def complete_log(incomplete: str) -> list[tuple[str, str]]:
    """Tools that trainings and runs log to."""
    return _matching(incomplete, LOGS.items())


def complete_suite(incomplete: str) -> list[tuple[str, str]]:
    """Suites of the package; the shell itself offers files."""
    return _matching(incomplete, ((name, description("suites", name)) for name in suite_names()))


def complete_recipe(incomplete: str) -> list[tuple[str, str]]:
    """Recipes of meta-training."""
    return _matching(incomplete, ((name, description("recipes", name)) for name in recipe_names()))


def complete_checkpoint(incomplete: str) -> list[tuple[str, str]]:
    """Shipped checkpoints; the shell itself offers files."""
    return _matching(incomplete, ((name, rule_of_checkpoint(name)) for name in shipped_checkpoints()))


def complete_method(incomplete: str) -> list[tuple[str, str]]:
    """Methods of `l2obench train-start`."""
    return _matching(incomplete, METHODS.items())


def complete_kind(incomplete: str) -> list[tuple[str, str]]:
    """What `l2obench list` lists."""
    return _matching(incomplete, ((kind, "") for kind in KINDS))


def complete_data(incomplete: str) -> list[tuple[str, str]]:
    """Data sets of `l2obench prepare`."""
    return _matching(incomplete, ((name, "") for name in DATA_SETS))


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Tasks and optimizers."""
    return [*complete_task(incomplete), *complete_optimizer(incomplete)]


def complete_run(incomplete: str) -> list[tuple[str, str]]:
    """Runs below `results`, by their names."""
    folder = Path("results")
    runs = sorted(path.parent.name for path in folder.glob("*/manifest.json")) if folder.is_dir() else []
    return _matching(incomplete, ((name, f"results/{name}") for name in runs))


def complete_name(incomplete: str) -> list[tuple[str, str]]:
    """All that `l2obench info` describes."""
    complete: list[Callable[[str], list[tuple[str, str]]]]
    complete = [complete_task, complete_optimizer, complete_suite, complete_recipe, complete_run]
    return list(dict(item for each in complete for item in each(incomplete)).items())


def _checkpoints() -> Items:
    for name in shipped_checkpoints():
        yield f"{rule_of_checkpoint(name)}[checkpoint={name}]", f"trained, checkpoint {name}"


def _matching(incomplete: str, items: Items) -> list[tuple[str, str]]:
    return [(name, about) for name, about in items if name.startswith(incomplete)]
