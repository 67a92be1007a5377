"""Packing: one file a kind, with no number changed, and a run that goes on, is killed or is stale as before."""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from l2obench.api.execution import pack
from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store import kind_folder
from l2obench.bench.store.packed_file import PACKED
from l2obench.bench.store.results_file import DESCRIPTION_KEY, StoreError, read_file
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS

SUITE = {
    "seeds": 3,
    "tuning_seeds": 2,
    "optimizers": ["sgd", "adam"],
    "tasks": [{"task": "quadratic[horizon=8]"}, {"task": "mnist-mlp[batch=8,horizon=5,units=4]"}],
}


def execute(folder: Path, **changes: object) -> tuple[int, int]:
    outcome = Runner(RunFolder(folder), make_suite("test", SUITE | changes).cells()).execute({"suite": "test"})
    return outcome.computed, outcome.already_computed


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert execute(folder) == (8, 0)
    return folder


@pytest.fixture
def packed(single: Path, tmp_path: Path) -> Path:
    shutil.copytree(single, tmp_path / "run")
    RunFolder(tmp_path / "run").pack()
    return tmp_path / "run"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}


def test_one_file_a_kind_and_no_number_is_another(single: Path, packed: Path) -> None:
    assert files(packed) == {f"{kind}/{PACKED}.parquet" for kind in ("cells", "tuning", "timing", "heldout")}
    for kind in SCHEMAS:
        assert_frame_equal(RunFolder(packed).read(kind), RunFolder(single).read(kind))
        for path in (single / kind).glob("*.parquet"):
            found = RunFolder(packed).read_one(kind, path.stem)
            assert_frame_equal(found, read_file(path, kind))
            assert RunFolder(packed).describe_one(kind, path.stem) == RunFolder(single).describe_one(kind, path.stem)


def test_bits_of_losses_stay(single: Path, packed: Path) -> None:
    one, other = (pd.concat(map(pd.read_parquet, sorted((folder / "cells").glob("*")))) for folder in (single, packed))
    assert [row.tobytes() for row in one["loss"]] == [row.tobytes() for row in other["loss"]]


def test_packing_again_does_nothing(packed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.rglob("*.parquet")}
    assert RunFolder(packed).pack() == 0
    assert {path: path.stat().st_mtime_ns for path in packed.rglob("*.parquet")} == before


def test_a_packed_run_is_finished_and_grows(packed: Path) -> None:
    assert execute(packed) == (0, 8)
    assert execute(packed, optimizers=["sgd", "adam", "nag"]) == (4, 8)
    assert len(RunFolder(packed).read("cells")) == 12 * 3
    assert RunFolder(packed).pack() > 0
    assert execute(packed, optimizers=["sgd", "adam", "nag"]) == (0, 12)
    assert len(RunFolder(packed).read("cells")) == 12 * 3


def test_a_packed_run_is_stale_where_its_description_differs(packed: Path) -> None:
    with pytest.raises(StoreError, match=r"all\.parquet holds other results \(.*seeds was 3, now 4"):
        execute(packed, seeds=4)


def test_a_file_beside_stands_for_the_part_of_its_name(packed: Path) -> None:
    run = RunFolder(packed)
    row = {"task": "t", "optimizer": "o", "lr": 0.1, "seed": 0, "final_loss": 1.0}
    for loss in (1.0, 2.0):
        run.write("tuning", "again", {"loss": loss}, [row | {"final_loss": loss}])
        assert run.read_one("tuning", "again")["final_loss"].tolist() == [loss]
        assert run.read("tuning").query("task == 't'")["final_loss"].tolist() == [loss]
        assert run.describe_one("tuning", "again") == {"loss": loss}
        run.pack()
        assert run.read("tuning").query("task == 't'")["final_loss"].tolist() == [loss]


def test_a_kill_before_the_files_are_deleted_leaves_the_same_rows(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(single, tmp_path / "run")
    write = kind_folder.write_atomically

    def written_and_killed(path: Path, content: bytes) -> None:
        write(path, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(kind_folder, "write_atomically", written_and_killed)
    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path / "run").pack()
    monkeypatch.undo()
    assert (tmp_path / "run" / "cells" / f"{PACKED}.parquet").exists()
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 9
    assert_frame_equal(RunFolder(tmp_path / "run").read("cells"), RunFolder(single).read("cells"))
    assert execute(tmp_path / "run") == (0, 8)
    RunFolder(tmp_path / "run").pack()
    assert_frame_equal(RunFolder(tmp_path / "run").read("cells"), RunFolder(single).read("cells"))


def test_a_file_that_vanishes_while_all_are_read_is_in_the_packed_one(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(single, tmp_path / "run")
    read, packed_once = kind_folder.read_file, []

    def read_after_packing(path: Path, kind: str) -> pd.DataFrame:
        if not packed_once:
            packed_once.append(True)
            RunFolder(tmp_path / "run").pack()
        return read(path, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(kind_folder, "read_file", read_after_packing)
    assert_frame_equal(RunFolder(tmp_path / "run").read("cells"), RunFolder(single).read("cells"))


def test_a_damaged_file_is_not_packed_and_a_finished_run_says_so(single: Path, tmp_path: Path) -> None:
    shutil.copytree(single, tmp_path / "run")
    damaged = next((tmp_path / "run" / "cells").glob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    lines: list[str] = []
    pack(tmp_path / "run", lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("the files of the run are not packed: ")
    assert len(list((tmp_path / "run" / "cells").glob("*.parquet"))) == 8


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{}",
        b"no json",
        b'{"parts": 3}',
        b'{"parts": [{"name": "a", "rows": -1, "description": {}}]}',
        b'{"parts": [{"name": "a", "rows": 2, "description": {}}]}',
        b'{"parts": [{"name": "a", "rows": 1}]}',
    ],
)
def test_a_list_of_parts_that_is_none_is_damage(packed: Path, metadata: bytes) -> None:
    path = packed / "cells" / f"{PACKED}.parquet"
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata({DESCRIPTION_KEY: metadata}), path)
    with pytest.raises(StoreError, match="damaged"):
        RunFolder(packed).read("cells")


def test_other_columns_are_refused(packed: Path) -> None:
    path = packed / "cells" / f"{PACKED}.parquet"
    metadata = pq.read_schema(path).metadata
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata(metadata), path)
    with pytest.raises(StoreError, match="must have the columns"):
        RunFolder(packed).read("cells")


def test_both_layouts_are_read_by_pandas(single: Path, packed: Path) -> None:
    keys = ["task", "optimizer", "track", "seed"]
    one, other = (pd.read_parquet(folder / "cells").sort_values(keys, ignore_index=True) for folder in (single, packed))
    assert_frame_equal(one, other)
