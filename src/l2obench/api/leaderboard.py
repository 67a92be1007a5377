"""`l2obench.leaderboard`: one page over several runs, which ranks optimizers."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path

from l2obench.api.reporting import to_folders
from l2obench.api.results import Results
from l2obench.reports.page.leaderboard import FOLDER, write_leaderboard


def leaderboard(
    runs: "str | Path | Results | Sequence[str | Path | Results]",
    out: str | Path | None = None,
    open: bool = False,
) -> Path:
    """Write a leaderboard.

    Args:
        runs: results folders, folders of them, or `Results`. Each is held to what those before it did.
        out: the folder of the page; None: `leaderboard`.
        open: show the page in a browser.

    Returns:
        The page, `index.html`.

    Raises:
        BadArgument: no run was given.
        ReportError: a run does not fit the others, has no finished cells, or `out` holds something else.
        StoreError: a folder does not exist, or is damaged.
    """
    written = write_leaderboard(to_folders(runs), Path(out or FOLDER))
    if open:
        webbrowser.open(written.page.resolve().as_uri())
    return written.page
