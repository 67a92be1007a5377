"""The matrix whose growth is measured is one that is planned, continued and reported like any other."""

from pathlib import Path

from tests.benchmarks.growth_cells import OPTIMIZERS, compare_sizes, make_matrix, measure_matrix


def test_a_matrix_has_as_many_cells_as_are_asked_for() -> None:
    cells = make_matrix(3 * OPTIMIZERS).cells()
    assert len({cell.key for cell in cells}) == 3 * OPTIMIZERS


def test_stand_ins_are_found_finished_packed_and_not_and_are_reported(tmp_path: Path) -> None:
    seconds = measure_matrix(OPTIMIZERS, tmp_path / "run")
    assert list(seconds) == ["planned", "written", "continued", "packed", "continued, packed", "reported"]
    assert (tmp_path / "run" / "report" / "index.html").exists()


def test_the_larger_matrix_is_set_against_the_forecast_of_the_smaller() -> None:
    def measure(count: int, folder: Path) -> dict[str, float]:
        return {"planned": 0.001 * count, "reported": 2e-6 * count**2}

    table = compare_sizes(measure, (1000, 10_000)).set_index("what")
    assert table.loc["planned", "measured ÷ forecast"] == "1.00"
    assert table.loc["planned", "10⁶ cells on 100 machines, s on each"] == "10"
    assert table.loc["reported", "measured ÷ forecast"] == "10.00"  # a quadratic cost is seen
