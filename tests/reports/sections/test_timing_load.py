"""What the report says of times that were taken under load, whose load is unknown, or that are missing."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from l2obench.api.results import Results
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.page.build import write_report
from l2obench.reports.reading import UNDER_LOAD, read_results
from l2obench.reports.sections.timing_load import load_sentences, timing_sentences

QUIET = {"others_busy": 0.01, "processors": 2, "throttled_seconds": 0.0, "under_load": False}
LOADED = {"others_busy": 1.31, "processors": 2, "throttled_seconds": 0.0, "under_load": True}
COMMAND = "l2obench run toy --force"


def rewrite(folder: Path, load: dict[str, Any]) -> None:
    """Give the rows of the run's only timing this load."""
    run = RunFolder(folder)
    rows = run.read("timing").astype(object).where(run.read("timing").notna(), None).to_dict("records")
    run.write("timing", "000", {}, [row | load for row in rows])  # type: ignore[misc]


@pytest.fixture
def folder(tmp_path: Path, cell: Any, write_run: Any) -> Path:
    cells = [
        cell("adam", [1.0] * 12, seconds=(2e-4, 1e-4)),
        cell("lstm", [0.5] * 12, seconds=(2e-4, 1.2345e-3), learned=True, track="default"),
    ]
    path: Path = write_run(tmp_path / "run", cells, command=COMMAND)
    return path


def test_a_quiet_timing_is_quoted_and_nothing_is_said(folder: Path) -> None:
    rewrite(folder, QUIET)
    analysis = Analysis(read_results([folder]))
    assert timing_sentences(analysis) == []
    assert analysis.headline["update_time_ratio"].tolist() == pytest.approx([12.345])


def test_a_loaded_timing_is_quoted_nowhere(folder: Path) -> None:
    rewrite(folder, LOADED)
    results = read_results([folder])
    analysis = Analysis(results)
    assert results.cells[["grad_seconds", "update_seconds"]].isna().all(axis=None)
    assert set(results.timing["reason"]) == {UNDER_LOAD}
    assert analysis.headline["update_time_ratio"].isna().all()
    assert analysis.time_to_target["seconds"].isna().all()
    assert Results(folder).compare()["step_time_ratio"].isna().all()
    report = write_report([folder], folder / "report", [])
    for path in [report.page, *report.page.parent.rglob("*.csv"), *report.page.parent.rglob("*.tex")]:
        text = path.read_text()
        assert "1234.5" not in text, path  # microseconds of the update
        assert "12.35" not in text
        assert "12.3" not in text
    (sentence,) = timing_sentences(analysis)
    assert sentence == (
        "The step times of 1 of 1 tasks were taken under load: not quoted. Other processes kept up to 1.3 of 2 "
        "processors busy. Run `l2obench run toy` again on a quiet machine: it takes only these times."
    )
    assert "taken under load: not quoted" in report.page.read_text()


def test_older_results_say_that_their_load_is_unknown(folder: Path) -> None:
    analysis = Analysis(read_results([folder]))
    assert analysis.headline["update_time_ratio"].notna().all()
    (sentence,) = timing_sentences(analysis)
    assert sentence.startswith("The load during the timing of 1 of 1 tasks is unknown: it was not recorded.")


@pytest.mark.parametrize(("load", "warned"), [(0.3, False), (1.9, False), (2.0, True), (8.7, True), (None, False)])
def test_older_results_of_a_busy_machine_have_a_warning(load: float | None, warned: bool) -> None:
    environments = [{"load": 0.1, "processors": 2}, {"load": load, "processors": 2}]
    row = dict.fromkeys(SCHEMAS["timing"].names) | {"task": "bowl", "optimizer": "adam", "grad_seconds": 1.0}
    manifest = {"starts": [{"environment": environment} for environment in environments]}
    (sentence,) = load_sentences(pd.DataFrame([row]), {"run": manifest})
    assert ("Do not quote seconds" in sentence) == warned
    assert not warned or f"{load:.2g} processes for 2 processors" in sentence


def test_of_many_commands_the_first_is_named_and_the_place_of_the_others() -> None:
    row = dict.fromkeys(SCHEMAS["timing"].names) | {"task": "bowl", "optimizer": "adam", "under_load": True}
    starts = [{"command": f"l2obench run toy -o {name} --no-timing"} for name in ("adam", "sgd", "nag")]
    rows = pd.DataFrame([row | {"others_busy": 1.0, "processors": 2}])
    (sentence,) = load_sentences(rows, {"run": {"starts": starts}})
    assert "Run `l2obench run toy -o adam` and 2 more, which manifest.json has under `starts`" in sentence
    assert "nag" not in sentence


def test_runs_side_by_side_are_named(folder: Path, tmp_path: Path, cell: Any, write_run: Any) -> None:
    other = write_run(tmp_path / "other", [cell("adam", [1.0, 2.0])])
    rewrite(folder, LOADED | {"others_busy": None, "throttled_seconds": 0.3})
    first, second = timing_sentences(Analysis(read_results([folder, other])))
    assert first.startswith("run: The step times of 1 of 1 tasks were taken under load: not quoted. The quota of its")
    assert second.startswith("other: The load during the timing")
