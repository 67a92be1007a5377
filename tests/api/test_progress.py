"""The progress bar: what it says of the work."""

from rich.console import Console

from l2obench.api.progress import ProgressDisplay


def test_an_identity_keeps_its_parameters() -> None:
    """Square brackets are no markup here."""
    display = ProgressDisplay("running", total=3)
    display.count(1, 3, "adam on quadratic[dim=20]")
    wide = Console(width=120)
    with wide.capture() as shown:
        wide.print(display.bar.get_renderable())
    assert "running adam on quadratic[dim=20]" in shown.get()
    assert "1/3" in shown.get()
