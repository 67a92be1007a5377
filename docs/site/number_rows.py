"""The rows that numbers in prose stand for: of reference runs, files beside the pages, checkpoints and code."""

import importlib
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run_tables import pairs, table

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.learned.checkpoint import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
FOLDS = ("min", "max", "median", "mean", "sum", "count")
"""What makes one number of several rows; `geometric mean` is one more."""
LEARNED = ("rnnprop", "mlp", "adafac-mlp", "star", "hierarchical", "velo")
PAIR = ("optimizer", "track", "against", "against_track", "against_task")


def number(value: Mapping[str, Any]) -> float:
    """The number that a value of docs/numbers stands for.

    `of` names the table, `where` the row, `column` the number in it. `rows` keeps rows by an expression of pandas,
    `fold` makes one number of several, `over` is another value, which divides, and `scale` multiplies.

    Args:
        value: of a line.

    Raises:
        ValueError: no row, or several, are of that key, or there is no such column.
    """
    if "over" in value:
        whole = {key: item for key, item in value.items() if key not in ("over", "less")}
        return number(whole) / number({**whole, **value["over"]})
    if "less" in value:
        whole = {key: item for key, item in value.items() if key != "less"}
        return number(whole) - number({**whole, **value["less"]})
    if value["of"] == "code":
        return float(_code(value["column"])) * float(value.get("scale", 1))
    rows = _matching(value)
    if value.get("fold") == "count":
        return float(len(rows))
    if value["column"] not in rows or (len(rows) != 1 and "fold" not in value) or rows.empty:
        raise ValueError(
            f"{value['of']} must have one row of {value.get('where', {})} with {value['column']!r}, has {len(rows)}"
        )
    return _fold(rows[value["column"]].astype(float), value.get("fold", "min")) * float(value.get("scale", 1))


def _fold(numbers: "pd.Series[float]", fold: str) -> float:
    if fold == "geometric mean":
        return float(np.prod(numbers.to_numpy(dtype=np.float64)) ** (1 / len(numbers)))
    if fold not in FOLDS:
        raise ValueError(f"fold must be one of {', '.join(FOLDS)}, geometric mean, got {fold!r}")
    return float(numbers.agg(fold))


def _matching(value: Mapping[str, Any]) -> pd.DataFrame:
    where = dict(value.get("where", {}))
    rows = _table(value["of"], where)
    for key, wanted in where.items():
        if key not in rows:
            raise ValueError(f"{value['of']} must have a column {key!r}, has {', '.join(map(str, rows))}")
        if isinstance(wanted, list):
            rows = rows[rows[key].isin(wanted)]
        elif isinstance(wanted, str) and wanted.startswith("~"):
            rows = rows[rows[key].map(re.compile(wanted[1:]).fullmatch).astype(bool)]
        else:
            rows = rows[rows[key].eq(wanted)]
    return rows.query(value["rows"]) if "rows" in value else rows


def _table(of: str, where: dict[str, Any]) -> pd.DataFrame:
    """The table of that name; `where` loses the keys that already decided it."""
    if of.endswith((".csv", ".parquet")):
        return _file(of)
    if of == "rules":
        return _rules()
    if of.startswith("checkpoint/"):
        where.clear()
        return _checkpoint(of.removeprefix("checkpoint/"))
    run, name = of.split("/")
    if name != "pairs":
        found = table(run, name)
        # A line that compares may have a value of another table: there, what it compares with is no key.
        for key in set(PAIR[2:]) - set(found):
            where.pop(key, None)
        return found
    defaults = {"track": "default", "against_track": "tuned", "against_task": ""}
    return pairs(run, *(where.pop(key, None) or defaults[key] for key in PAIR))


@cache
def _file(name: str) -> pd.DataFrame:
    path = ROOT / name
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


@cache
def _checkpoint(name: str) -> pd.DataFrame:
    """The recipe of a shipped checkpoint as a table of one row, with counts of its meta-parameters and functions."""
    found = read_checkpoint(name)
    row = dict(found.recipe) | {"meta_parameters": sum(tensor.numel() for tensor in found.tensors.values())}
    row["functions_seen"] = row["trajectories_done"] * row["functions"]
    row["mixture_families"] = len(row.get("mixture") or [row["task"]])
    return pd.DataFrame([{key: item for key, item in row.items() if isinstance(item, int | float)}])


@cache
def _rules() -> pd.DataFrame:
    """How many meta-parameters each learned rule has with its defaults."""
    registry = optimizer_registry()
    rules = {name: registry.create(f"{name}[checkpoint=random]") for name in LEARNED}
    counts = {name: sum(math.prod(shape) for shape in rule.meta_shapes().values()) for name, rule in rules.items()}
    return pd.DataFrame({"rule": list(counts), "meta_parameters": list(counts.values())})


def _code(name: str) -> Any:
    """A constant, or how many it holds: `module:NAME`, or `module:Class.field` for the default of a field."""
    module, attributes = name.split(":")
    found: Any = importlib.import_module(f"l2obench.{module}")
    for attribute in attributes.split("."):
        fields = getattr(found, "model_fields", {})
        found = fields[attribute].default if attribute in fields else getattr(found, attribute)
    return len(found) if isinstance(found, str | tuple | list | dict | frozenset) else found
