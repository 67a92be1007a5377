"""What `l2obench run --dry-run` prints: the cells, and what they would take."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l2obench.bench.config.run_options import RunOptions
    from l2obench.bench.config.suite import Cell


def show_forecast(cells: "Sequence[Cell]", folder: Path, options: "RunOptions", as_json: bool) -> None:
    """Print what a run would compute, and a forecast of its time and memory.

    Args:
        cells: what would run.
        folder: the results folder.
        options: how cells would be run.
        as_json: print one JSON object instead.
    """
    from l2obench.api.execution import describe_plan
    from l2obench.api.forecasting import forecast

    found = forecast(cells, folder, options)
    if as_json:
        planned = [dict(zip(("task", "optimizer", "track"), cell.key, strict=True)) for cell in cells]
        about = {"folder": str(folder), **asdict(found), "rests_on": found.rests_on, "planned": planned}
        print(json.dumps(about, indent=2, ensure_ascii=False))
        return
    for cell in cells:
        print(f"  {' '.join(cell.key)}: {cell.seeds} seeds, {cell.task.horizon:,} steps")
    print(f"Plan: {describe_plan(cells)}, into {folder}")
    print("\n".join([f"Already computed: {found.already_computed} of {found.cells} cells", *found.lines()]))
