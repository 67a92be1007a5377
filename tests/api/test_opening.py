"""Results open in other libraries by the lines of docs/python-api.md."""

import re
import subprocess
import sys

import pytest

from tests.markdown import ROOT

LINES = dict(
    re.findall(
        r"^\| (pandas|polars|DuckDB) \| `(.+)` \|$", (ROOT / "docs" / "python-api.md").read_text("utf-8"), re.MULTILINE
    )
)
IMPORTS = {"pandas": "import pandas as pd", "polars": "import polars as pl", "DuckDB": "import duckdb"}


def test_the_page_has_a_line_for_each() -> None:
    assert LINES.keys() == IMPORTS.keys()


# polars and DuckDB are no dependencies: CI has neither. Both were tried with these lines, polars 2.1 and DuckDB 2.0.
@pytest.mark.parametrize("library", IMPORTS)
def test_the_line_opens_all_cells(library: str) -> None:
    pytest.importorskip(library.lower())
    line = LINES[library].replace("results/quick", "results/reference/quick")
    done = subprocess.run(
        [sys.executable, "-c", f"{IMPORTS[library]}\nframe = {line}\nprint(len(frame), *frame.columns)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    rows, *columns = done.stdout.split()
    assert rows == "8560", done.stderr
    assert {"task", "optimizer", "track", "seed", "loss", "final_loss"} <= set(columns)
