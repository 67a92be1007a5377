"""Results as Croissant: the description is that of the files beside it, and the library of MLCommons reads it."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from l2obench.bench.commands.cli import main
from l2obench.bench.store.column_words import COLUMNS, KINDS
from l2obench.bench.store.croissant import FILE, describe_run, write_croissant
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS
from tests.markdown import ROOT

REFERENCE = sorted(path.parent for path in (ROOT / "results" / "reference").glob("*/manifest.json"))
TRIED = {"task": "quadratic", "optimizer": "adam", "lr": 0.1, "seed": 0, "steps": 20, "status": "ok", "final_loss": 1.0}


def make_run(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    run.begin({"suite": "demo", "description": "a demo", "started": "2026-11-27T00:00:00+00:00"})
    for seed in range(2):
        run.write("tuning", f"cell-{seed}", {}, [TRIED | {"seed": seed}])
    return run


@pytest.mark.parametrize("folder", REFERENCE, ids=lambda path: path.name)
def test_the_reference_results_are_described_as_they_are(folder: Path) -> None:
    """Hashes, sizes and columns; `l2obench pack results/reference/* --croissant --license URL` writes the file."""
    written = json.loads((folder / FILE).read_text(encoding="utf-8"))
    assert written == describe_run(RunFolder(folder), written["license"])
    for file in written["distribution"]:
        content = (folder / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"
    columns = {
        part["name"]: [field["source"]["extract"]["column"] for field in part["field"]] for part in written["recordSet"]
    }
    present = {path.parent.name: pq.read_schema(path).names for path in folder.glob("*/all.parquet")}
    assert columns == present


def test_every_kind_and_column_has_a_sentence() -> None:
    assert KINDS.keys() == SCHEMAS.keys()
    assert COLUMNS.keys() == {name for schema in SCHEMAS.values() for name in schema.names}
    assert all(text.endswith(".") and len(text.split()) > 2 for text in [*KINDS.values(), *COLUMNS.values()])


def test_pack_describes_a_run_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["l2obench", "pack", str(tmp_path / "run"), "--croissant"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    written = json.loads((tmp_path / "run" / FILE).read_text(encoding="utf-8"))
    assert written["name"] == "l2obench-demo"
    assert "license" not in written
    assert [file["@id"] for file in written["distribution"]] == ["tuning/all.parquet"]


def test_a_license_needs_a_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["l2obench", "pack", str(tmp_path / "run"), "--license", "https://x.org"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--license needs --croissant" in capsys.readouterr().err


def test_files_that_are_not_packed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has files that are not packed\. Try: l2obench pack"):
        write_croissant(make_run(tmp_path / "run"))


# mlcroissant brings a dozen packages that l2obench does not need: CI has none of them.
@pytest.mark.parametrize("folder", REFERENCE, ids=lambda path: path.name)
def test_the_library_of_mlcommons_reads_the_reference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    monkeypatch.chdir(folder)
    dataset = mlcroissant.Dataset(jsonld=FILE)
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    for kind in json.loads(Path(FILE).read_text(encoding="utf-8"))["recordSet"]:
        row = next(iter(dataset.records(kind["@id"])))
        assert set(row) == {field["@id"] for field in kind["field"]}
    assert os.getcwd() == str(folder)
