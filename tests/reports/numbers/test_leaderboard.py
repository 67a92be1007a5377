"""The leaderboard: what a row counts, what its order means, and that every run is held to the protocol."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.numbers.leaderboard import Leaderboard, group_families, leaderboard
from l2obench.reports.numbers.pooled_runs import find_runs, pool
from l2obench.reports.page.leaderboard import write_leaderboard
from l2obench.reports.reading import ReportError

Cell = Callable[..., list[dict[str, Any]]]
ADAM = [1.0, 2.0, 4.0]


def write_run(folder: Path, *cells: list[dict[str, Any]], tuning: bool = True) -> Path:
    """A run as the runner writes it, with a record of the tuning of each tuned cell."""
    run = RunFolder(folder)
    run.begin({"suite": folder.name, "description": "<b>made up</b>"})
    for number, rows in enumerate(cells):
        run.write("cells", f"cell-{number}", {}, rows)
        if tuning and rows[0]["track"] == "tuned":
            tried = {"task": rows[0]["task"], "optimizer": rows[0]["optimizer"], "lr": 0.1, "seed": 0, "steps": 20}
            run.write("tuning", f"cell-{number}", {}, [tried | {"status": "ok", "final_loss": 1.0, "chosen": True}])
    return folder


def board_of(*runs: Path) -> Leaderboard:
    return leaderboard(pool(find_runs(runs)).cells)


def row(board: Leaderboard, optimizer: str) -> "pd.Series[Any]":
    (found,) = (values for _, values in board.numbers[board.numbers["optimizer"] == optimizer].iterrows())
    return found


def test_a_ratio_is_typical_over_seeds_and_a_median_over_tasks(tmp_path: Path, cell: Cell) -> None:
    cells = [cell("adam", ADAM, task=task) for task in ("bowl", "bowl[dim=2]", "bowl[dim=3]")]
    for task, factor in (("bowl", 0.5), ("bowl[dim=2]", 0.8), ("bowl[dim=3]", 4.0)):
        losses = [factor * loss for loss in ADAM]
        cells.append(cell("net", losses, task=task, track="default", learned=True))
    board = board_of(write_run(tmp_path / "run", *cells))
    assert row(board, "net")["bowl ratio"] == pytest.approx(0.8)
    assert row(board, "adam")["bowl ratio"] == 1.0
    assert row(board, "net")["near_best"] == pytest.approx(2 / 3)
    assert row(board, "adam")["near_best"] == pytest.approx(1 / 3)


def test_the_reference_is_the_best_baseline_and_never_a_learned_optimizer(tmp_path: Path, cell: Cell) -> None:
    board = board_of(
        write_run(
            tmp_path / "run",
            cell("adam", ADAM),
            cell("sgd", [0.5, 1.0, 2.0], track="default"),
            cell("net", [0.1, 0.2, 0.4], track="default", learned=True),
        )
    )
    assert board.baselines.to_dict("records") == [{"task": "bowl", "baseline": "sgd", "track": "default"}]
    assert row(board, "adam")["bowl ratio"] == pytest.approx(2.0)


def test_families_count_alike_and_missing_tasks_are_not_near_the_best(tmp_path: Path, cell: Cell) -> None:
    """`few` is best on all tasks that it ran: one of two families."""
    tasks = ["bowl", "bowl[dim=2]", "bowl[dim=3]", "dish"]
    better = [loss / 2 for loss in ADAM]
    cells = [cell("adam", ADAM, task=task) for task in tasks]
    cells += [cell("all", better, task=task, track="default", learned=True) for task in tasks]
    cells.append(cell("few", better, task="dish", track="default", learned=True))
    board = board_of(write_run(tmp_path / "run", *cells))
    assert board.numbers["optimizer"].tolist() == ["all", "few", "adam"]
    few = row(board, "few")
    assert (few["near_best"], few["near_best_of_own"], few["tasks"]) == (0.5, 1.0, 1)
    assert np.isnan(few["bowl ratio"])
    shown = board.shown().set_index("optimizer")
    assert shown.loc["few", "bowl (3 tasks)"] == "—"
    assert shown.loc["few", "dish (1 task)"] == "0.5"


def test_a_failure_is_shown_and_counts_as_an_infinite_loss(tmp_path: Path, cell: Cell) -> None:
    board = board_of(
        write_run(
            tmp_path / "run", cell("adam", ADAM), cell("net", [np.inf, np.inf, 1.0], track="default", learned=True)
        )
    )
    assert board.shown().set_index("optimizer").loc["net", "bowl (1 task)"] == "∞ (fails on 1)"


def test_a_task_without_a_finite_baseline_is_named(tmp_path: Path, cell: Cell) -> None:
    board = board_of(
        write_run(
            tmp_path / "run",
            cell("adam", [np.inf, 1.0]),
            cell("net", [1.0, 1.0], track="default", learned=True),
            cell("adam", ADAM, task="dish"),
        )
    )
    assert board.left_out == ["bowl"]
    assert board.tasks == 1


def test_tuned_and_untuned_are_rows_of_their_own(tmp_path: Path, cell: Cell) -> None:
    board = board_of(write_run(tmp_path / "run", cell("adam", ADAM), cell("adam", [8.0, 8.0, 8.0], track="default")))
    assert board.numbers[["optimizer", "track"]].to_numpy().tolist() == [["adam", "tuned"], ["adam", "default"]]


def test_many_families_share_a_column() -> None:
    tasks = [f"family{k}[dim={d}]" for k in range(14) for d in range(14 - k)]
    families = group_families(tasks)
    assert len(families) == 12
    assert families[-1].name == "others"
    assert sorted(task for family in families for task in family.tasks) == sorted(tasks)


def test_a_strangers_run_is_paired_with_the_reference(tmp_path: Path, cell: Cell) -> None:
    """It holds its optimizer only, on fewer seeds."""
    reference = write_run(tmp_path / "reference" / "one", cell("adam", ADAM)).parent
    stranger = write_run(tmp_path / "mine", cell("mine", [0.5, 1.0], track="default"))
    board = board_of(reference, stranger)
    assert board.baselines["baseline"].tolist() == ["mine"]
    assert row(board, "mine")["bowl ratio"] == 1.0
    assert row(board, "adam")["bowl ratio"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task_version": 2}, "bowl has version 2, and version 1 in"),
        ({"steps": 19, "loss": [10.0] * 19 + [1.0]}, "bowl has 19 steps, and 20 steps in"),
        ({"final_window": 5}, "bowl has a final loss over 5 steps"),
        ({"function_sha256": "cd"}, "of seed 0, sgd got another function or other minibatches than in"),
        (
            {"function_sha256": None, "loss": [11.0] * 20 + [1.0]},
            "of seed 0, sgd begins with the loss 11, and with 10 in",
        ),
        ({"optimizer": "adam", "optimizer_version": 2}, "adam has version 2, and version 1 in"),
        ({"optimizer": "adam", "checkpoint_sha256": "ef"}, "adam has another checkpoint than in"),
        ({"first_seed": 1}, "must have the seeds 0 to 2, got others"),
        ({"track": "tuned"}, "has no record of its tuning in tuning/"),
        ({"track": "budget=4"}, "has no record of its tuning in trials/"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ",".join(value),
)
def test_a_run_that_does_not_fit_is_refused_with_what_differs(
    tmp_path: Path, cell: Cell, changes: dict[str, Any], said: str
) -> None:
    reference = write_run(tmp_path / "reference", cell("adam", ADAM, function_sha256="ab"))
    arguments = {"optimizer": "sgd", "track": "default", "function_sha256": "ab"} | changes
    stranger = write_run(tmp_path / "mine", cell(arguments.pop("optimizer"), ADAM, **arguments), tuning=False)
    with pytest.raises(ReportError) as refused:
        pool([reference, stranger])
    assert said in str(refused.value)
    assert str(stranger) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_packed_runs_count_like_others(tmp_path: Path, cell: Cell) -> None:
    run = write_run(tmp_path / "run", cell("adam", ADAM), cell("sgd", ADAM))
    before = board_of(run)
    assert RunFolder(run).pack() > 0
    assert board_of(run).numbers.equals(before.numbers)


def test_of_a_cell_in_two_runs_the_one_with_more_seeds_counts(tmp_path: Path, cell: Cell) -> None:
    short = write_run(tmp_path / "short", cell("adam", ADAM), cell("sgd", [2.0, 4.0, 8.0]))
    long = write_run(tmp_path / "long", cell("sgd", [2.0, 4.0, 8.0, 16.0]))
    cells = pool([short, long]).cells
    assert cells[cells["optimizer"] == "sgd"]["run"].unique().tolist() == [str(long)]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is no run and holds none"):
        find_runs([tmp_path])


def test_the_page_escapes_names_and_its_table_sorts_by_numbers(tmp_path: Path, cell: Cell) -> None:
    evil = "<script>alert(1)</script>"
    run = write_run(
        tmp_path / "run",
        cell("adam", ADAM),
        cell(evil, [0.5, 1.0, 2.0], track="default", learned=True),
        cell("slow", [20.0, 40.0, 80.0], track="default", learned=True),
    )
    written = write_leaderboard([run], tmp_path / "page")
    page = written.page.read_text(encoding="utf-8")
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>made up</b>" not in page
    assert "http" not in page.replace("http-equiv", "").split("<script")[0]
    names = [path.name for path in written.tables]
    assert names == ["baselines.csv", "leaderboard.csv", "leaderboard.md"]
    assert pd.read_csv(written.tables[1])["bowl ratio"].tolist() == pytest.approx([0.5, 1.0, 20.0])
    # Sorted as text, 20 would come before 5.
    packed = json.loads(unpack(page, "table-leaderboard"))
    (column,) = (at for at, each in enumerate(packed["columns"]) if each["title"] == "bowl (1 task)")
    assert packed["ranks"][column] == [1, 2, 3]


def unpack(page: str, name: str) -> str:
    import base64
    import zlib

    _, _, rest = page.partition(f'id="data-{name}">')
    return zlib.decompress(base64.b64decode(rest.partition("</script>")[0])).decode()


def test_an_earlier_page_is_replaced_and_nothing_else_is(tmp_path: Path, cell: Cell) -> None:
    run = write_run(tmp_path / "run", cell("adam", ADAM))
    for _ in range(2):
        write_leaderboard([run], tmp_path / "page")
    with pytest.raises(ReportError, match="is not a report"):
        write_leaderboard([run], run)
