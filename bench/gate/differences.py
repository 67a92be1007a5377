"""What else differs between two sides than the change under test: shown as warnings, because losses depend on it."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

Facts = Mapping[str, str]
"""What a cell was made with, by name; a fact that is not recorded is left out."""

COLUMNS = {
    "optimizer_version": "the rule's version",
    "steps": "steps",
    "final_window": "final window",
    "checkpoint_sha256": "checkpoint",
}
CHECKPOINT = COLUMNS["checkpoint_sha256"]
# Characters of a value in a warning: warnings are lines, and a value may be any text of a results file.
LONGEST = 60


def facts(rows: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Collect what one cell was made with.

    Args:
        rows: the cell's rows, one a seed.
        manifest: of its run; empty for a file without one.

    Returns:
        Versions, hyperparameters, device and packages as text, by name; what was not recorded is left out.
    """
    found = {name: _only(rows, column) for column, name in COLUMNS.items()}
    found |= _hyperparameters(_only(rows, "hyperparameters"))
    plugins = manifest.get("plugins")
    if isinstance(plugins, Mapping):
        identities = [_only(rows, column) for column in ("task", "optimizer")]
        found |= {f"the code of {identity}": _text(plugins.get(identity)) for identity in identities}
    environment = manifest.get("environment")
    if isinstance(environment, Mapping):
        found |= {name: _text(environment.get(name)) for name in ("device", "device_name", "python")}
        versions = environment.get("versions")
        if isinstance(versions, Mapping):
            found |= {f"package {name}": _text(version) for name, version in versions.items()}
    return {name: value for name, value in found.items() if value}


def differences(base: Facts, head: Facts) -> list[str]:
    """One text for each fact that both sides have and that differs, as `steps was 100, now 200`.

    Args:
        base: BASE's facts of a cell.
        head: HEAD's facts of the same cell.

    Example:
        >>> differences({"steps": "100", "python": "3.12"}, {"steps": "200", "python": "3.12"})
        ['steps was 100, now 200']
    """
    return [
        f"{name} was {_short(base[name])}, now {_short(head[name])}"
        for name in sorted(base.keys() & head.keys())
        if base[name] != head[name]
    ]


def contradictions(rows: pd.DataFrame) -> int:
    """Count finished seeds whose final loss is not the mean of their last losses, within float32 rounding.

    Args:
        rows: of one cell, with `loss` `[steps + 1]` and `final_window`; rows without losses are skipped.
    """
    found = 0
    row: Any  # of columns that pandas types as a union of all that a cell may hold
    for row in rows.itertuples(index=False):
        losses, window = row.loss, row.final_window
        if row.status != "ok" or losses is None or pd.isna(window) or not 1 <= window <= len(losses):
            continue
        mean = float(losses[-int(window) :].astype(float).mean())
        found += not abs(mean - row.final_loss) <= 1e-4 * max(abs(mean), abs(row.final_loss))
    return found


def _hyperparameters(text: str) -> dict[str, str]:
    """Each of a rule's hyperparameters by itself; of what is no JSON object, nothing."""
    try:
        values = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return {str(name): _text(value) for name, value in values.items()} if isinstance(values, dict) else {}


def _only(rows: pd.DataFrame, column: str) -> str:
    """The value that all rows have; several are joined, and nothing where it is not recorded."""
    if column not in rows:
        return ""
    return " and ".join(sorted({_text(value) for value in rows[column].dropna()}))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
