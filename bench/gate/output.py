"""What a check found, as data for other formats: rows, JSON and JUnit XML. Names in it are data, and stay text."""

import json
import math
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import asdict
from typing import Any

from l2obench.bench.gate.cell_verdict import FAILING, NOT_COMPARED, CellComparison, Check


def summary(check: Check) -> str:
    """One line: how many cells were compared, and what became of them.

    Args:
        check: all comparisons of a gate.
    """
    counts: dict[str, int] = {}
    for item in check.comparisons:
        counts[item.verdict] = counts.get(item.verdict, 0) + 1
    named = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    outcomes = {0: "no regression", 1: "REGRESSION", 4: "nothing comparable", 5: "inconclusive"}
    outcome = outcomes[check.exit_code]
    return f"{outcome}: {len(check.compared)} of {len(check.comparisons)} cells compared ({named or 'none'})"


def warnings(check: Check) -> list[str]:
    """What differs between the sides besides the losses, once each, with the number of cells that it concerns.

    Args:
        check: all comparisons of a gate.

    Returns:
        Lines, sorted.
    """
    counts = Counter(warning for item in check.comparisons for warning in item.warnings)
    total = len(check.comparisons)
    return [f"warning: {warning} ({count} of {total} cells)" for warning, count in sorted(counts.items())]


def rows(check: Check) -> list[dict[str, Any]]:
    """Make one row for each cell, for a table that people read. Effects are text: `ratio [low, high]`.

    Args:
        check: of all cells.
    """
    return [
        {
            "verdict": item.verdict,
            "task": item.task,
            "optimizer": item.optimizer,
            "track": item.track,
            "seeds": item.seeds,
            "typical": _effect(item, "typical"),
            "mean": _effect(item, "mean"),
            "step time": "" if item.step_time_ratio is None else f"× {item.step_time_ratio:.2f}",
            "best of its class": item.best_of_class or "",
            "best of all": item.best_of_all or "",
            "reason": item.reason,
        }
        for item in check.comparisons
    ]


def to_json(check: Check) -> str:
    """Everything, for machines. What is not finite is null: JSON has no infinity.

    Args:
        check: all comparisons of a gate.

    Returns:
        An object with `exit_code`, `summary`, `warnings` and `cells`.
    """
    found = [_finite(asdict(item)) for item in check.comparisons]
    about = {"exit_code": check.exit_code, "summary": summary(check), "warnings": warnings(check)}
    return json.dumps({**about, "cells": found}, indent=2)


def to_junit(check: Check) -> str:
    """JUnit XML, a test case for each cell: regressions are failures, what was not compared is skipped.

    Args:
        check: all comparisons of a gate.

    Returns:
        A document that CI services read. Cells of one task are one class.
    """
    skipped = sum(item.verdict in (NOT_COMPARED | {"inconclusive"}) - FAILING for item in check.comparisons)
    counts = {"tests": len(check.comparisons), "failures": len(check.failing), "errors": 0, "skipped": skipped}
    attributes = {"name": "l2obench check", **{name: str(count) for name, count in counts.items()}}
    root = ET.Element("testsuites", attributes)
    suite = ET.SubElement(root, "testsuite", attributes)
    for item in check.comparisons:
        case = ET.SubElement(suite, "testcase", classname=_xml(item.task), name=_xml(f"{item.optimizer} {item.track}"))
        message = _xml(f"{item.verdict}: {item.reason}" if item.reason else item.verdict)
        if item.verdict in FAILING:
            failure = ET.SubElement(case, "failure", message=message, type=item.verdict)
            failure.text = _xml(json.dumps(_finite(asdict(item)), indent=2))
        elif item.verdict in NOT_COMPARED or item.verdict == "inconclusive":
            ET.SubElement(case, "skipped", message=message)
    if found := warnings(check):
        ET.SubElement(suite, "system-out").text = _xml("\n".join(found))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _effect(item: CellComparison, measure: str) -> str:
    texts = [f"× {e.ratio:.4g} [{e.low:.4g}, {e.high:.4g}]" for e in item.effects if e.measure == measure]
    return "".join(texts)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold; the library escapes the rest."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)
