"""The store: immutable files, conflicts named, damage named, nothing half-written."""

import json
import os
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.bench.store.files import write_atomically
from l2obench.bench.store.results_file import StoreError, cell_name
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import ADDED


def tuning_row(**changes: object) -> dict[str, object]:
    row = {"task": "t", "optimizer": "o", "lr": 0.1, "seed": 0, "status": "ok", "failed_step": None, "steps": 3}
    return row | {"final_loss": 1.5, "chosen": True, "at_edge": False} | changes


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.begin({"suite": "test"})
    return run


def test_rows_come_back(run: RunFolder) -> None:
    run.write("tuning", "a", {"x": 1}, [tuning_row(), tuning_row(seed=1, final_loss=float("inf"))])
    frame = run.read("tuning")
    assert frame["seed"].tolist() == [0, 1]
    assert frame["final_loss"].tolist() == [1.5, float("inf")]
    assert frame["failed_step"].isna().all()
    pd.testing.assert_frame_equal(frame, pd.read_parquet(run.folder / "tuning"))


def test_an_empty_run_has_the_columns(run: RunFolder) -> None:
    assert {"task", "loss", "grad_seconds"} <= set(run.read("cells").columns)


def test_file_from_before_a_column_was_added_says_nothing_there(run: RunFolder) -> None:
    run.write("timing", "a", {}, [{"task": "bowl", "optimizer": "adam", "update_flops": 110.0}])
    path = run.folder / "timing" / "a.parquet"
    stored = pq.read_table(path, partitioning=None)
    added = [name for name in ADDED if name in stored.column_names]
    pq.write_table(stored.drop_columns(added), path)
    frame = run.read("timing")
    assert added
    assert frame["optimizer"].tolist() == ["adam"]
    assert frame[added].isna().all(axis=None)


def test_finished_is_what_has_the_same_description(run: RunFolder) -> None:
    assert not run.is_finished("tuning", "a", {"seeds": 3})
    run.write("tuning", "a", {"seeds": 3}, [tuning_row()])
    assert run.is_finished("tuning", "a", {"seeds": 3})
    with pytest.raises(StoreError, match=r"seeds was 3, now 4.*Try: another --out"):
        run.is_finished("tuning", "a", {"seeds": 4})


def test_another_formats_folder_is_refused_untouched(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="must be of format 1, got results of format 99"):
        RunFolder(tmp_path).require_run_or_empty()
    assert json.loads(manifest.read_text()) == {"format": 99}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"suite": "x"}', "\x00\xff"])
def test_damaged_manifests_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
        _ = RunFolder(tmp_path).manifest


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="is no run"):
        RunFolder(tmp_path).require_run_or_empty()
    RunFolder(tmp_path / "new").require_run_or_empty()


@given(cut=st.integers(0, 2000))
def test_truncated_files_are_named(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.begin({})
    run.write("tuning", "a", {}, [tuning_row()])
    path = run.folder / "tuning" / "a.parquet"
    path.write_bytes(path.read_bytes()[: min(cut, path.stat().st_size - 1)])
    with pytest.raises(StoreError, match=r"a\.parquet is damaged"):
        run.is_finished("tuning", "a", {})
    with pytest.raises(StoreError, match=r"a\.parquet is damaged"):
        run.read("tuning")


def test_a_foreign_parquet_file_is_refused(run: RunFolder) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(run.folder / "cells" / "foreign.parquet")
    with pytest.raises(StoreError, match="columns"):
        run.read("cells")
    with pytest.raises(StoreError, match="damaged"):
        run.is_finished("cells", "foreign", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        RunFolder(tmp_path / "run").begin({})


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError):
        RunFolder(tmp_path / "run").require_run_or_empty()
    with pytest.raises(StoreError, match="cannot be written"):
        RunFolder(tmp_path / "run").begin({})


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "it"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["it"]


@given(identities=st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_names_are_safe_and_short(identities: list[str]) -> None:
    name = cell_name(*identities)
    assert "/" not in name
    assert len(name) < 200
    assert name.isascii()
    assert not name.startswith(".")


def test_names_tell_identities_apart() -> None:
    assert cell_name("a[b=1]", "c") != cell_name("a[b=1", "]c")
