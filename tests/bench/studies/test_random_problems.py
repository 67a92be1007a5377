"""The study of random problems: the same draws each time, rows that are kept, and a summary that counts them."""

import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from l2obench.bench.studies.random_problems import (
    FAMILIES,
    LARGEST_HORIZON,
    LEAST_HORIZON,
    coordinates_of,
    draw_problem,
    main,
    rows_of,
    summarise,
)


def test_problems_are_of_all_families_and_of_many_horizons() -> None:
    problems = [draw_problem(number) for number in range(150)]
    assert {problem.name for problem in problems} == set(FAMILIES)
    assert all(LEAST_HORIZON <= problem.horizon <= LARGEST_HORIZON for problem in problems)
    assert max(problem.horizon for problem in problems) > 1_000
    assert max(coordinates_of(problem) for problem in problems) > 100_000


def test_a_stopped_study_goes_on_and_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[int, str]] = []

    def measure(number: int, optimizer: str) -> tuple[object, ...]:
        measured.append((number, optimizer))
        return (number, "quadratic", 10, optimizer, 4.0, 1.0 if optimizer == "adam" else 2.0, -1)

    monkeypatch.setattr("l2obench.bench.studies.random_problems.measure", measure)
    to = tmp_path / "rows.csv"
    main(["sgd"], to, problems=2)
    main(["sgd", "adam"], to, problems=3)
    assert sorted(measured) == [(0, "adam"), (0, "sgd"), (1, "adam"), (1, "sgd"), (2, "adam"), (2, "sgd")]
    lines = list(summarise(rows_of(to)))
    assert lines[1] == "adam: 3 problems, diverged on 0, above its start on 0; below sgd on 3 of 3"


def test_divergence_is_counted_and_is_worse_than_any_loss() -> None:
    def row(optimizer: str, loss: float, diverged_at: int) -> dict[str, str]:
        values = {"number": 0, "optimizer": optimizer, "loss_at_start": 1.0, "final_loss": loss}
        return {key: str(value) for key, value in {**values, "diverged_at": diverged_at}.items()}

    lines = list(summarise([row("sgd", 0.1, 7), row("adam", 5.0, -1)]))
    assert lines == [
        "sgd: 1 problems, diverged on 1, above its start on 1; below adam on 0 of 1",
        "adam: 1 problems, diverged on 0, above its start on 1; below sgd on 1 of 1",
    ]


def test_the_command_measures_a_real_problem(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    to = tmp_path / "rows.csv"
    found = CliRunner().invoke(app, ["adam[lr=0.01]", "--to", str(to), "--problems", "1"])
    assert found.exit_code == 0, found.output
    (kept,) = rows_of(to)
    assert math.isfinite(float(kept["final_loss"]))
    assert kept["task"].startswith(draw_problem(0).name)
