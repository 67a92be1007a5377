"""Names of the suites and recipes that come with the package. It imports little, so that lists come quickly."""

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

Folder = Literal["suites", "recipes"]


def suite_names() -> list[str]:
    """Names of the suites of the package."""
    return _names("suites")


def recipe_names() -> list[str]:
    """Names of the recipes of the package."""
    return _names("recipes")


def read_shipped(folder: Folder, name: str) -> str:
    """Read the TOML text of a suite or a recipe of the package.

    Args:
        folder: that of suites or of recipes.
        name: without `.toml`.
    """
    return (_folder(folder) / f"{name}.toml").read_text(encoding="utf-8")


def description(folder: Folder, name: str) -> str:
    """Give the description that a suite or a recipe of the package has of itself.

    Args:
        folder: that of suites or of recipes.
        name: without `.toml`.
    """
    return str(tomllib.loads(read_shipped(folder, name)).get("description", ""))


def _names(folder: Folder) -> list[str]:
    return sorted(path.name.removesuffix(".toml") for path in _folder(folder).iterdir() if path.name.endswith(".toml"))


def _folder(folder: Folder) -> Traversable:
    return resources.files("l2obench.bench.config") / folder
