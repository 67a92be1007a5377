"""Where a learned optimizer was trained, where it was tested, and which parameters of the task lie between the two."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.identity import IdentityError, parse_identity
from reports.counting import groups, manifest_of

UNKNOWN = "not recorded"
COLUMNS = ["optimizer", "trained_on", "task", "axis", "difference", "ratio", "low", "high", "seeds", "verdict"]


def generalization(
    cells: pd.DataFrame, headline: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """The headline's ratios, by the task that each checkpoint was trained on.

    `axis` is the parameter that differs between that task and the tested one: `none` where they are the same,
    `several`, or `family`; `difference` says it in words. Parameters that an identity leaves out
    have the values in the manifest.
    """
    place = [name for name in ("run", "task", "optimizer", "track") if name in headline]
    trained: dict[tuple[Any, ...], str] = {}
    mixtures: dict[tuple[Any, ...], list[str]] = {}
    for key, rows in groups(cells[cells["learned"].eq(True)], "task", "optimizer", "track"):
        manifest = manifest_of(key, manifests)
        recipe = (manifest.get("recipes") or {}).get(rows["checkpoint_sha256"].iloc[0]) or {}
        trained[tuple(key.values())] = str(recipe.get("task") or UNKNOWN)
        mixtures[tuple(key.values())] = list(recipe.get("mixture") or [])
    parameters = _parameters(manifests)
    found = []
    for row in headline.to_dict("records"):
        here = tuple(row[name] for name in place)
        origin = row["task"] if row["task"] in mixtures[here] else trained[here]
        axis, difference = _difference(origin, row["task"], parameters)
        found.append(row | {"trained_on": origin, "axis": axis, "difference": difference})
    return pd.DataFrame(found, columns=[*(["run"] if "run" in headline else []), *COLUMNS])


def _parameters(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """All parameters of every task that a run knows, by identity."""
    known: dict[str, dict[str, Any]] = {}
    for manifest in manifests.values():
        for identity, task in (manifest.get("tasks") or {}).items():
            known[identity] = dict(task.get("parameters") or {})
    return known


def _difference(origin: str, tested: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    if origin == UNKNOWN:
        return "unknown", "the run does not say what it was trained on"
    if origin == tested:
        return "none", "the task it was trained on"
    try:
        (family, here), (other_family, there) = parse_identity(origin), parse_identity(tested)
    except IdentityError:
        return "family", "another task"
    if family != other_family:
        return "family", f"another family: {other_family}, trained on {family}"
    defaults = _defaults(family, known)
    changes = []
    for name in sorted({*here, *there}):
        before, after = (values.get(name, defaults.get(name, "default")) for values in (here, there))
        if before != after:
            changes.append((name, f"{name} {before} → {after}"))
    if not changes:
        return "none", "the task it was trained on"
    return (changes[0][0] if len(changes) == 1 else "several"), ", ".join(text for _, text in changes)


def _defaults(family: str, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Values that a family's identities leave out: those of any task whose identity does not name them."""
    found: dict[str, Any] = {}
    for identity, parameters in known.items():
        try:
            name, named = parse_identity(identity)
        except IdentityError:
            continue
        if name == family:
            found = {key: value for key, value in parameters.items() if key not in named} | found
    return found
