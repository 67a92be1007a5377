"""Some columns of a finished file are read without the others."""

from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.begin({"suite": "demo"})
    for number, name in enumerate(["a", "b"]):
        row = {"task": name, "optimizer": "adam", "lr": 0.1, "seed": number, "final_loss": 0.5}
        run.write("tuning", name, {"seeds": number}, [row])
    return run


@pytest.mark.parametrize("packed", [False, True])
def test_columns_come_in_the_order_in_which_they_are_asked_for(run: RunFolder, packed: bool) -> None:
    if packed:
        run.pack()
    found = run.read_columns("tuning", "b", ["seed", "task"]).to_pandas()
    pd.testing.assert_frame_equal(found, run.read_one("tuning", "b")[["seed", "task"]])


def test_a_file_that_is_missing_or_damaged_is_refused(run: RunFolder) -> None:
    with pytest.raises(StoreError):
        run.read_columns("tuning", "c", ["seed"])
    (run.folder / "tuning" / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(StoreError, match="damaged"):
        run.read_columns("tuning", "a", ["seed"])
