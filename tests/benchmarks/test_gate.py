"""The gate, the refusal of busy machines and what is written about the rows, on rows that are made up."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.measure.load import Load
from tests.benchmarks import quiet
from tests.benchmarks.gate import committed_rows, compare
from tests.benchmarks.standing import describe, missed
from tests.benchmarks.table import Row

QUIET = Load(others_busy=0.01, processors=2)
LOADED = Load(others_busy=1.5, processors=2)


def measured(ratios: dict[str, float | None], processor: str = "Xeon", under_load: bool | None = False) -> pd.DataFrame:
    rows = pd.DataFrame([{"path": path, "peer": "JAX", "ratio": ratio} for path, ratio in ratios.items()])
    return rows.assign(processor=processor, under_load=under_load)


def test_a_ratio_that_lost_a_quarter_fails_and_a_smaller_loss_does_not() -> None:
    committed = measured({"a": 2.0, "b": 2.0, "c": 1.0})
    found = compare(measured({"a": 1.5, "b": 1.51, "c": 9.0}), committed)
    assert found.fails
    assert found.lines()[1:] == ["  a, against JAX: 1.5, committed 2"]
    assert not compare(measured({"a": 1.51}), committed).fails


def test_rows_of_one_run_only_and_peers_that_are_not_installed_are_not_compared() -> None:
    found = compare(measured({"new": 0.1, "a": None}), measured({"old": 5.0, "a": 2.0}))
    assert not found.fails
    assert found.lost == []
    assert not compare(measured({"a": 0.1}), None).fails


@pytest.mark.parametrize(
    ("now", "before", "why"),
    [
        ({"processor": "EPYC"}, {}, "they were measured on Xeon, this run on EPYC"),
        ({"under_load": True}, {}, "not measured quiet"),
        ({}, {"under_load": None}, "not measured quiet"),
        ({}, {"processor": None}, "does not name its processor"),
    ],
)
def test_elsewhere_or_on_a_busy_machine_a_loss_is_advice(now: dict[str, str], before: dict[str, str], why: str) -> None:
    found = compare(measured({"a": 1.0}, **now), measured({"a": 2.0}, **before))  # type: ignore[arg-type]
    assert not found.fails
    assert len(found.lost) == 1
    assert why in found.lines()[0]


def test_the_committed_rows_are_those_that_git_holds(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    path = tmp_path / "rows.parquet"
    assert committed_rows(path) is None
    measured({"a": 2.0}).to_parquet(path)
    found = committed_rows(path)
    assert found is not None
    assert found["ratio"].tolist() == [2.0]
    git("init")
    git("add", "rows.parquet")
    git("commit", "-m", "rows")
    measured({"a": 0.5}).to_parquet(path)  # a run that has just overwritten them
    found = committed_rows(path)
    assert found is not None
    assert found["ratio"].tolist() == [2.0]


def test_a_busy_machine_is_refused_in_one_line_and_an_unknown_one_is_not() -> None:
    assert quiet.refusal(QUIET) is None
    assert quiet.refusal(Load(others_busy=None, processors=2)) is None
    for busy in (LOADED, Load(others_busy=0.0, processors=2, throttled_seconds=0.5)):
        line = quiet.refusal(busy)
        assert line is not None
        assert "\n" not in line
        assert line.startswith("The machine must be quiet for benchmarks, got ")
        assert "BUSY=1" in line


def test_growth_is_refused_on_a_busy_machine_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.benchmarks import growth

    monkeypatch.setattr(quiet, "look", lambda: LOADED)
    monkeypatch.setattr(sys, "argv", ["growth", str(tmp_path / "page.md")])
    with pytest.raises(SystemExit, match="The machine must be quiet"):
        growth.begin()


def row(path: str, peer: str, ratio: float | None, reach: str = "", aim: str = "") -> Row:
    return Row(path, peer, 0.6, ratio, reach, aim, None, None)


@pytest.mark.parametrize(
    ("ratio", "reach", "aim", "expected"),
    [
        (0.5, "≥ 0.65", "above 1", "≥ 0.65"),
        (0.9, "≥ 0.65", "above 1", "above 1"),
        (1.2, "≥ 0.65", "above 1", None),
        (0.9996, "≥ 1", "", None),  # the table shows 1
        (20.0, "ours ≤ 500 ms", "", "ours ≤ 500 ms"),
        (20.0, "ours ≤ 1000 ms", "", None),
        (None, "≥ 1", "", None),
        (0.1, "", "", None),
    ],
)
def test_a_row_misses_its_lower_target_first(ratio: float | None, reach: str, aim: str, expected: str | None) -> None:
    assert missed(row("a", "JAX", ratio, reach, aim)) == expected


@pytest.mark.parametrize(("target", "is_missed"), [("ours ≤ 12 ns", True), ("ours ≤ 20 ns", False)])
def test_targets_in_nanoseconds_are_those_of_a_coordinate(target: str, is_missed: bool) -> None:
    own = replace(row("star, fused", "JAX", 2.0, target), coordinates=40_000_000)  # 15 ns each
    assert (missed(own) == target) is is_missed
    assert (f"15 ns, target {target}" in describe([own])) is is_missed


def test_where_ours_is_slower_stands_first_and_parts_of_ours_are_no_race() -> None:
    rows = [row("fast", "JAX", 4.0, "≥ 2"), row("slow", "JAX", 0.5, "≥ 1"), row("part", "our Adam", 0.1)]
    lines = describe(rows).splitlines()
    assert lines[0].startswith("1 of 2 rows with a target reach it. Ours is slower in 1 of 2 rows")
    assert lines[2] == "- **Not reached**: slow, against JAX: 0.5, target ≥ 1."
    table = [line for line in lines if line.startswith("|")][2:]
    assert [line.split("|")[1:5] for line in table] == [
        [" slow ", " JAX ", " the other ", " 2 × "],
        [" fast ", " JAX ", " ours ", " 4 × "],
    ]
