"""How often the gate errs, on committed trajectories of quadratics: the same numbers on every machine."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.gate.side import Recorded, read_side
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.studies import error_rates
from l2obench.bench.studies.pools import Pool

SHIPPED = "lstm[checkpoint=quadratic]"
DOCS = Path(__file__).resolve().parents[3] / "docs"
REFERENCE = Path("results/reference/paper-quadratic")
FAULTY = "faulty"
RUN, ROUNDED = Path("run"), Path("rounded")


def trajectories(folder: Path) -> list[Recorded]:
    """The reference results in place of a pool's: a faulty copy ends 30 % higher, and ROUNDED sums otherwise.

    The longer horizon stands for the gate's second task.
    """
    renamed = {"quadratic": "quadratic", "quadratic[horizon=1000]": "quadratic[horizon=200]"}
    reference = [cell for cell in read_side(REFERENCE) if cell.key[0] in renamed]
    found = [replace(cell, key=(renamed[cell.key[0]], *cell.key[1:])) for cell in reference]
    if folder == RUN:
        shipped = [cell for cell in found if cell.key[1] == SHIPPED]
        return shipped + [replace(_scaled(cell, 1.3), key=(cell.key[0], FAULTY, "default")) for cell in shipped]
    return [_scaled(cell, 1 + 1e-7) for cell in found if cell.key[1] == SHIPPED]


def _scaled(cell: Recorded, factor: float) -> Recorded:
    return replace(cell, rows=cell.rows.assign(final_loss=cell.rows["final_loss"] * factor))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setattr(error_rates, "read_side", trajectories)
    pool = Pool(RunFolder(RUN), RunFolder(ROUNDED), SHIPPED, {"weights perturbed by noise": [(SHIPPED, FAULTY)]})
    return error_rates.measure("quadratic", error_rates.PooledCells(pool), 20, 5).set_index("comparison")


def test_the_gate_passes_what_did_not_change_and_fails_each_fault(rows):
    unchanged = rows[rows["kind"] == "no change"]
    assert len(unchanged) == 3
    assert (unchanged["failed"] <= 1).all()
    assert rows.loc["the same weights, rounded otherwise", "failed"] == 0
    faults = rows[rows["kind"] == "fault"]
    assert "1 of 100 seeds 10⁵ times as high" in faults.index
    assert (faults["failed"] == 5).all(), faults


def test_the_page_has_the_committed_rates() -> None:
    kept = pd.read_csv(DOCS / "error_rates.csv")
    page = (DOCS / "ci.md").read_text()
    for checkpoint in ("quadratic", "mnist"):
        rows = kept[kept["checkpoint"] == checkpoint]
        assert error_rates.format_rates(rows) in page
        unchanged = rows[rows["kind"] == "no change"]
        # At most 1 % of checks without a change may fail: the interval of what was counted holds that.
        assert (unchanged["low"] <= 0.01).all()


def test_rows_of_a_checkpoint_replace_its_own_only(tmp_path):
    kept = tmp_path / "rates.csv"
    row = {"kind": "fault", "comparison": "noise", "failed": 1, "inconclusive": 0, "of": 2, "low": 0.0, "high": 1.0}
    for checkpoint, failed in [("first", 1), ("second", 1), ("first", 2)]:
        rows = pd.DataFrame([{"checkpoint": checkpoint, **row, "failed": failed}])
        error_rates.add_rows(kept, checkpoint, rows)
    written = pd.read_csv(kept).set_index("checkpoint")
    assert dict(written["failed"]) == {"first": 2, "second": 1}
