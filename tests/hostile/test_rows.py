"""Rows of any shape: what no runner can have written is refused where it is read, and nothing warns or fails later."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from tests.hostile.conftest import RUN, Command

NAN, INF = float("nan"), float("inf")


def rewrite(folder: Path, change: Any, kind: str = "cells") -> None:
    """Every file of a kind with other rows, or another schema."""
    for path in (folder / kind).glob("*.parquet"):
        table = pq.read_table(path)
        found = change(table)
        found = found if isinstance(found, pa.Table) else pa.Table.from_pylist(found, schema=table.schema)
        pq.write_table(found, path)


@pytest.fixture
def it(good_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good_run, tmp_path / "it"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "rows must have a value of task"),
        ({"seed": None}, "rows must have a value of seed"),
        ({"status": "weird"}, "status must be one of ok, diverged, error, timeout, got 'weird'"),
        ({"steps": -1}, "steps of sgd"),
        ({"steps": 2**62}, "must be at most 1,000,000,000"),
        ({"final_window": 0}, "final_window of sgd"),
        ({"loss": []}, "loss must have a value for the start and for each of the steps"),
        ({"loss": [1.0]}, "loss must have a value"),
        ({"loss": [1.0] * 500}, "loss must have a value"),
        ({"hyperparameters": "not json"}, "hyperparameters must be a JSON object"),
        ({"hyperparameters": "[" * 5000}, "hyperparameters must be a JSON object"),
        ({"hyperparameters": "[]"}, "hyperparameters must be a JSON object"),
        ({"grad_seconds": -1.0}, "must be a positive number, got -1"),
        ({"update_seconds": INF}, "must be a positive number, got inf"),
        ({"state_bytes": -5}, "must be whole numbers from 0 on, got -5"),
        ({"seed": 0}, "is there twice. Try: take the copied file out"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rows_that_no_runner_wrote(it: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(it, lambda table: [row | changes for row in table.to_pylist()])
    with pytest.raises(StoreError) as raised:
        RunFolder(it).read("cells")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.remove_column(0),
        lambda table: table.append_column("more", pa.nulls(len(table), pa.int8())),
        lambda table: table.set_column(0, "task", pa.nulls(len(table), pa.struct({"a": pa.int8()}))),
        lambda table: table.set_column(8, "seed", pa.nulls(len(table), pa.string())),
        lambda table: table.rename_columns([f"{name} " for name in table.column_names]),
    ],
    ids=["missing", "more", "nested", "type", "names"],
)
def test_columns_of_another_schema(command: Command, it: Path, change: Any) -> None:
    rewrite(it, change)
    for arguments in (["report", "it"], ["targets", "it"], ["check", "it", "it"], ["info", "it"]):
        command(*arguments).is_one_line("must have the columns of a results file of kind cells")


def test_text_that_is_not_utf8(command: Command, it: Path) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        offsets = pa.array(range(len(table) + 1), pa.int32()).buffers()[1]
        words = pa.Array.from_buffers(pa.string(), len(table), [None, offsets, pa.py_buffer(b"\xa1" * len(table))])
        return table.set_column(0, "task", words)

    rewrite(it, spoil)
    for arguments in (["targets", "it"], ["check", "it", "it"], ["info", "it"]):
        command(*arguments).is_one_line("is damaged")


def test_a_copied_file_does_not_count_twice(command: Command, it: Path) -> None:
    for path in list((it / "cells").glob("*.parquet")):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    for arguments in (["report", "it"], ["targets", "it"], ["check", "it", "it"]):
        command(*arguments).is_one_line("is there twice")


@pytest.mark.parametrize(
    "changes",
    [
        {"final_loss": NAN},
        {"final_loss": INF},
        {"final_loss": 1e308},
        {"final_loss": -1e308},
        {"loss": [NAN] * 6, "final_loss": NAN},
        {"loss": [3e38] * 6, "final_loss": 1e308},
        {"hyperparameters": "{}"},
        {"hyperparameters": '{"lr": "x"}'},
        {"hyperparameters": '{"lr": NaN}'},
        {"hyperparameters": None},
        {"heldout_loss": NAN, "heldout_accuracy": INF},
    ],
    ids=lambda value: str(value)[:40],
)
def test_odd_values_end_in_a_table_or_a_line(command: Command, it: Path, changes: dict[str, Any]) -> None:
    rewrite(it, lambda table: [row | changes for row in table.to_pylist()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for arguments in (["targets", "it"], ["check", "it", "it"], ["info", "it"]):
            answer = command(*arguments)
            assert answer.code in (0, 2, 4, 5), answer.err
            assert answer.err.count("\n") <= 1


def test_zero_rows(command: Command, it: Path) -> None:
    rewrite(it, lambda table: table.slice(0, 0))
    command("report", "it").is_one_line("has no finished cells")
    command("targets", "it").is_one_line("must hold a tuned baseline")


def test_a_tuning_without_a_choice_is_damaged_and_the_run_says_so(command: Command, it: Path) -> None:
    for path in (it / "cells").glob("*tuned*.parquet"):
        path.unlink()
    rewrite(it, lambda table: [row | {"chosen": None} for row in table.to_pylist()], "tuning")
    answer = command(*[part for part in RUN if part != "--no-timing"], "--out", "it")
    assert answer.code == 2
    assert "damaged" in answer.err or "holds other results" in answer.err
