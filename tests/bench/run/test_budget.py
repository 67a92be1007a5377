"""A run with a budget: on disk, resumed, in the report, from the command line's words and from Python."""

import json
from pathlib import Path

import pytest

import l2obench
from l2obench.api.forecasting import count_steps
from l2obench.api.naming import BadArgument
from l2obench.api.planning import plan_run
from l2obench.api.results import Results
from l2obench.bench.config.suite import SuiteError, make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.page.build import write_report

SUITE = {
    "seeds": 4,
    "tuning_seeds": 3,
    "tracks": ["default", "budget=6"],
    "optimizers": ["adam", "lstm[checkpoint=quadratic]"],
    "tasks": [{"task": "quadratic[horizon=15]"}],
}


def execute(folder: Path, **changes: object) -> tuple[int, int]:
    outcome = Runner(RunFolder(folder), make_suite("test", SUITE | changes).cells()).execute({"suite": "test"})
    return outcome.computed, outcome.already_computed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert execute(folder) == (3, 0)
    return folder


def test_the_chosen_trial_is_evaluated_as_the_cell(finished: Path) -> None:
    run = RunFolder(finished)
    cells = run.read("cells").query("track == 'budget=6'")
    trials = run.read("trials")
    assert set(cells["optimizer"]) == {"adam"}, "a learned rule without a knob runs as it is"
    chosen = trials[trials["chosen"]]
    given = json.loads(cells["hyperparameters"].iloc[0])
    assert json.loads(chosen["hyperparameters"].iloc[0]).items() <= given.items()
    evaluated = chosen[chosen["pool"] == "evaluation"].sort_values("seed")["final_loss"].to_numpy()
    assert cells.sort_values("seed")["final_loss"].to_numpy() == pytest.approx(evaluated, rel=1e-4)
    assert (cells["tuning_passes"] == 6 * 3 * 15).all()


def test_a_second_start_computes_nothing(finished: Path) -> None:
    assert execute(finished) == (0, 3)


def test_a_lost_cell_takes_its_trials_from_their_file(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    execute(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "trials").iterdir()}
    lost = next((folder / "cells").glob("*budget-6*"))
    content = lost.read_bytes()
    lost.unlink()
    assert execute(folder) == (1, 2)
    assert {path: path.stat().st_mtime_ns for path in (folder / "trials").iterdir()} == before
    assert next((folder / "cells").glob("*budget-6*")).read_bytes() == content


def test_other_tuning_seeds_are_another_search(finished: Path) -> None:
    with pytest.raises(StoreError, match="tuning_seeds was 3, now 2"):
        execute(finished, tuning_seeds=2)


def test_the_report_has_a_row_for_each_number_of_trials(finished: Path, tmp_path: Path) -> None:
    table = Results(finished).budget()
    assert table["trials"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["seeds"].unique().tolist() == [4]
    assert table["tuning_functions"].unique().tolist() == [3]
    trials = RunFolder(finished).read("trials").query("pool == 'evaluation'")
    assert table["expected_best"].iloc[0] == pytest.approx(trials["final_loss"].mean())
    chosen = trials[trials["chosen"]]["final_loss"].mean()
    assert table["expected_best"].iloc[-1] == pytest.approx(chosen)
    written = write_report([finished], tmp_path / "report", ["svg"])
    page = written.page.read_text()
    assert "with the best of 6 trials" in page
    figure = next(path for path in written.figures if path.match("budget--*.svg")).read_text()
    assert "lstm[checkpoint=quadratic], untuned" in figure
    assert Results(finished).compare()["baseline_track"].unique().tolist() == ["budget=6"]


def test_python_and_the_command_line_ask_for_a_budget_in_the_same_words() -> None:
    _, plan = plan_run(None, tasks=["quadratic"], optimizers=["adam", "lstm[checkpoint=quadratic]"], tune="budget=8")
    assert [cell.key[1:] for cell in plan.cells()] == [
        ("adam", "default"),
        ("adam", "budget=8"),
        ("lstm[checkpoint=quadratic]", "default"),
    ]
    with pytest.raises(BadArgument, match=r"got 'budget=x'\. Try: budget=32"):
        plan_run(None, tasks=["quadratic"], optimizers=["adam"], tune="budget=x")
    results = l2obench.run(
        tasks="quadratic[horizon=5]", optimizers="sgd", tune="budget=3", seeds=2, tuning_seeds=2, progress=False
    )
    assert results.budget()["trials"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("track", ["budget=0", "budget=", "budget=2000", "tuned=3"])
def test_what_is_no_track_is_refused(track: str) -> None:
    with pytest.raises(SuiteError, match="tracks"):
        make_suite("test", SUITE | {"tracks": [track]})


def test_a_forecast_counts_trials_on_both_pools() -> None:
    suite = make_suite("test", SUITE | {"tracks": ["budget=6"], "optimizers": ["adam"]})
    assert count_steps(suite.cells()) == (4 * 15, 6 * (3 + 4) * 15)
