"""The values of a suite's file: one of the package, or any `.toml` file, read within limits."""

from pathlib import Path
from typing import Any

from l2obench.bench.config.shipped import read_shipped, suite_names
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.foundation.names import explain_unknown
from l2obench.foundation.regular_file import read_regular_file
from l2obench.foundation.toml_text import parse_toml

# Far above any suite: a file of gigabytes would fill the memory while it is parsed.
MAX_BYTES = 2**20


def read_suite(name: str) -> dict[str, Any]:
    """Read the values of a suite, and where its trained checkpoints are unless it says so.

    Args:
        name: one of `suite_names`, or a path that ends in `.toml`.

    Raises:
        ValueError: there is none, or it is not TOML. The message is one line.
    """
    if name.endswith(".toml"):
        text = read_regular_file(Path(name), MAX_BYTES).decode()
        trained = str(training_folder(name) / "{name}" / CHECKPOINT)
    elif name in suite_names():
        text, trained = read_shipped("suites", name), f"{name}/{{name}}"
    else:
        raise ValueError(explain_unknown("suite", name, suite_names()) + ". Or give the path of a .toml file")
    return {"checkpoints": trained} | parse_toml(text)


def training_folder(suite: str) -> Path:
    """Give the folder in which `l2obench train-suite` keeps a suite's trainings by default.

    Args:
        suite: its name, or the path of its file.
    """
    return Path("results/training") / Path(suite).stem
