"""Figures that are kept: only those that would be the same; whatever has changed is drawn again."""

import csv
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from l2obench.reports.figures import drawing as drawing_module
from l2obench.reports.figures import fingerprint as fingerprint_module
from l2obench.reports.figures.fingerprint import fingerprint
from l2obench.reports.figures.kept import INDEX
from l2obench.reports.figures.styles import Look
from l2obench.reports.figures.ticks import format_seconds
from l2obench.reports.page.build import write_report


@pytest.fixture
def drawn(monkeypatch):
    """The names of the figures that were drawn."""
    names = []
    write = drawing_module._write

    def note(item, folder, formats):
        names.append(item.name)
        return write(item, folder, formats)

    monkeypatch.setattr(drawing_module, "_write", note)
    return names


@pytest.fixture
def pretended(monkeypatch):
    """The names of the figures that would be drawn; their files are there, and hold nothing."""
    names = []

    def pretend(item, folder, formats):
        names.append(item.name)
        written = [folder / f"{item.name}.{ending}" for ending in [*formats, "csv"]]
        for path in written:
            path.touch()
        return written

    monkeypatch.setattr(drawing_module, "_write", pretend)
    return names


def cells(cell, last):
    return [
        cell("adam", [1.0, 2.0]),
        cell("lstm", [0.5, 1.0], learned=True, track="default"),
        cell("adam", [1.0, last], task="valley"),
    ]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_report_of_the_same_results_draws_nothing_and_has_the_same_files(tmp_path, cell, write_run, drawn):
    run = write_run(tmp_path / "run", cells(cell, 2.0))
    first = write_report([run], tmp_path / "report", ["png"])
    before, count = files(tmp_path / "report/figures"), len(drawn)
    assert count == len([path for path in first.figures if path.suffix == ".png"])
    drawn.clear()
    second = write_report([run], tmp_path / "report", ["png"])
    assert drawn == []
    assert files(tmp_path / "report/figures") == before
    assert second.figures == first.figures


def test_only_what_changed_is_drawn_again(tmp_path, cell, write_run, drawn):
    write_report([write_run(tmp_path / "a/run", cells(cell, 2.0))], tmp_path / "report", ["png"])
    drawn.clear()
    changed = write_run(tmp_path / "b/run", cells(cell, 3.0))
    write_report([changed], tmp_path / "report", ["png"])
    assert any(name.startswith("curves--valley") for name in drawn)
    assert not any(name.startswith("curves--bowl") for name in drawn)
    fresh = tmp_path / "fresh"
    write_report([changed], fresh, ["png"])
    assert files(tmp_path / "report/figures") == files(fresh / "figures"), "what is kept is what would be drawn"


@pytest.mark.slow
def test_other_code_other_formats_and_damaged_files_draw_again(tmp_path, cell, write_run, drawn, monkeypatch):
    run = write_run(tmp_path / "run", cells(cell, 2.0))
    report = write_report([run], tmp_path / "report", ["png"])
    every = len(drawn)
    drawn.clear()
    report.figures[0].write_bytes(b"something else")
    write_report([run], tmp_path / "report", ["png"])
    assert drawn == [report.figures[0].stem]
    drawn.clear()
    write_report([run], tmp_path / "report", ["png", "svg"])
    assert len(drawn) == every
    drawn.clear()
    monkeypatch.setattr("l2obench.reports.figures.kept.drawing_code", lambda: "other code")
    write_report([run], tmp_path / "report", ["png", "svg"])
    assert len(drawn) == every


@pytest.mark.parametrize("index", ["", "[]", '{"x": 1}', "[" * 100_000], ids=["empty", "list", "other", "deep"])
def test_a_damaged_index_keeps_nothing(tmp_path, cell, write_run, pretended, index):
    run = write_run(tmp_path / "run", cells(cell, 2.0))
    write_report([run], tmp_path / "report", ["png"])
    every = len(pretended)
    write_report([run], tmp_path / "report", ["png"])
    assert len(pretended) == every > 0, "an index that is whole keeps all"
    (tmp_path / "report/figures" / INDEX).write_text(index)
    write_report([run], tmp_path / "report", ["png"])
    assert len(pretended) == 2 * every


def test_each_figure_has_its_numbers_and_its_description_beside_it(tmp_path, cell, write_run):
    report = write_report([write_run(tmp_path / "run", cells(cell, 2.0))], tmp_path / "report", ["png"])
    drawings = {path.stem for path in report.figures if path.suffix == ".png"}
    assert {path.stem for path in report.figures if path.suffix == ".csv"} == drawings
    index = json.loads((tmp_path / "report/figures" / INDEX).read_text())
    assert index.keys() == drawings
    (curves,) = (path for path in report.figures if path.name.startswith("curves--bowl") and path.suffix == ".csv")
    assert "Loss against step on bowl, for" in index[curves.stem]["description"]
    rows = list(csv.DictReader(curves.open()))
    assert {row["optimizer"] for row in rows} == {"adam", "lstm"}
    assert float(rows[0]["interquartile_mean"]) == pytest.approx(10.0)


def test_a_fingerprint_sees_every_bit_and_not_where_a_value_lies():
    values = [
        1,
        1.0,
        True,
        "1",
        None,
        [1, 2],
        [[1], 2],
        {"a": 1},
        np.array([1.0, np.nan]),
        np.array([1.0, np.inf]),
        np.array([1.0, np.inf], dtype=np.float32),
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
        Look(True, 0, 0, 0),
        Look(True, 0, 0, 1),
        partial(format_seconds, 1.0),
        partial(format_seconds, seconds=1.0),
        ["ab", "c"],
        ["a", "bc"],
    ]
    found = [fingerprint(value) for value in values]
    assert len(set(found)) == len(values)
    assert fingerprint(np.arange(6.0).reshape(2, 3)[:, ::2]) == fingerprint(np.array([[0.0, 2.0], [3.0, 5.0]]))


def test_code_that_is_not_ours_has_no_fingerprint():
    for value in (lambda: None, partial(print, 1), object()):
        with pytest.raises(TypeError, match="values that can be hashed"):
            fingerprint(value)


def test_the_code_that_draws_is_in_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint_module, "FIGURES", tmp_path / "figures")
    (tmp_path / "figures").mkdir()
    (tmp_path / "formats.py").write_text("")
    found = set()
    for text in ("x = 1", "x = 2"):
        (tmp_path / "figures/a.py").write_text(text)
        fingerprint_module.drawing_code.cache_clear()
        found.add(fingerprint_module.drawing_code())
    fingerprint_module.drawing_code.cache_clear()
    assert len(found) == 2
