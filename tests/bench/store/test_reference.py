"""The committed reference results were written by earlier versions, and still load: one file a table and suite."""

from pathlib import Path

import pytest

from l2obench.bench.store.packed_file import PACKED
from l2obench.bench.store.results_file import read_file
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"


@pytest.mark.parametrize("folder", sorted(REFERENCE.iterdir()), ids=lambda folder: folder.name)
def test_a_reference_run_loads(folder: Path) -> None:
    assert RunFolder(folder).manifest["cells"]
    for kind in SCHEMAS:
        paths = list((folder / kind).glob("*.parquet"))
        assert [path.stem for path in paths] in ([], [PACKED])
        assert all(len(read_file(path, kind)) for path in paths)
