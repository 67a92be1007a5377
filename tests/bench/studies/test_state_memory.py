"""The memory that states take, as the documentation says it."""

from pathlib import Path

from l2obench.bench.studies.state_memory import rows

PAGE = Path(__file__).resolve().parents[3] / "docs" / "drop-in.md"


def test_the_table_of_the_page_is_what_is_measured():
    page = PAGE.read_text()
    for row in rows():
        assert f"| {' | '.join(row)} |" in page, row
