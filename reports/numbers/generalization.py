"""Where a learned optimizer was trained, where it was tested, and which parameters of the task lie between the two."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from l2obench.bench.config.identity import IdentityError, parse_identity
from l2obench.reports.cells.table import CELL, CellTable, table_of_cells
from l2obench.reports.numbers.counting import manifest_of, table_of
from l2obench.reports.numbers.familiarity import familiarity, name_family, training_families

UNKNOWN = "not recorded"
COLUMNS = ["optimizer", "trained_on", "task", "families", "axis", "difference", "verdict"]
COLUMNS += ["typical_ratio", "typical_low", "typical_high", "ratio", "low", "high", "seeds", "failures", "track"]


def generalization(
    cells: pd.DataFrame | CellTable, headline: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """The headline's ratios, by what each checkpoint was trained on.

    `families` says what the tested task is to those trained on, as in `l2obench.reports.numbers.familiarity`. `axis` is
    the parameter that differs between it and the nearest of them: `none` where they are the same, `several`, or
    `family`; `difference` says it in words. Parameters that an identity leaves out have the values in the manifest.

    Args:
        cells: rows of one run or several.
        headline: as `l2obench.reports.numbers.headline.headline` gives it.
        manifests: their manifests by label; of one run, its only one.
    """
    place = [name for name in ("run", "task", "optimizer", "track") if name in headline]
    trained = {
        tuple(cell.key(*CELL).values()): training_families(cell, manifest_of(cell.key(), manifests))
        for task in table_of_cells(cells).tasks
        for cell in task.learned_cells
    }
    parameters = _parameters(manifests)
    found = []
    for row in headline.to_dict("records"):
        families, task = trained[tuple(row[name] for name in place)], row["task"]
        axis, difference = _difference(families, task, parameters)
        about = {"trained_on": _described(families), "families": familiarity(task, families)}
        found.append(
            {str(name): value for name, value in row.items()} | about | {"axis": axis, "difference": difference}
        )
    return table_of(headline, COLUMNS, found)


def _described(families: Sequence[str]) -> str:
    if not families:
        return UNKNOWN
    return families[0] if len(families) == 1 else f"a mixture of {len(families)}"


def _parameters(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """All parameters of every task that a run knows, by identity."""
    known: dict[str, dict[str, Any]] = {}
    for manifest in manifests.values():
        for identity, task in (manifest.get("tasks") or {}).items():
            known[identity] = dict(task.get("parameters") or {})
    return known


def _difference(families: Sequence[str], tested: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Between the tested task and the family trained on; of a mixture, the first of the same name."""
    if not families:
        return "unknown", "the run does not say what it was trained on"
    if tested in families:
        return "none", "the task it was trained on"
    kin = [name for name in families if name_family(name) == name_family(tested)]
    if not kin:
        trained_on = ", ".join(dict.fromkeys(map(name_family, families)))
        return "family", f"another family: {name_family(tested)}, trained on {trained_on}"
    try:
        (family, here), (_, there) = parse_identity(kin[0]), parse_identity(tested)
    except IdentityError:
        return "family", "another task"
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
