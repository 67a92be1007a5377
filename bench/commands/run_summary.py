"""What `l2obench run` prints at its end: the counts, the answer and the next command, or the same as JSON."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from l2obench.bench.commands.process import print_error

if TYPE_CHECKING:
    import pandas as pd

    from l2obench.bench.run.runner import Outcome


TABLES = ("headline", "heldout", "budget", "trials_to_match", "recipes")
"""Tables of the JSON."""


def show_outcome(folder: Path, outcome: "Outcome", as_json: bool) -> None:
    """Print what a run did, its answer, what to know of its times, and the next command.

    Args:
        folder: the results folder.
        outcome: what the start of the run did.
        as_json: print one JSON object instead.
    """
    # Here and not above: what draws tables takes seconds to import, which a run should not wait for.
    from l2obench.bench.store.results_file import StoreError
    from l2obench.reports.numbers.analysis import Analysis
    from l2obench.reports.numbers.answer import Answer, answer_records
    from l2obench.reports.page.terminal import headline_rows, headline_text
    from l2obench.reports.reading import ReportError, read_results
    from l2obench.reports.sections.timing_load import timing_sentences

    following = f"l2obench report {shlex.quote(str(folder))}"
    tables: dict[str, pd.DataFrame | None] = dict.fromkeys(TABLES)
    text, notes, answers = "", list[str](), list[Answer]()
    try:
        analysis = Analysis(read_results([folder]))
        tables = {"headline": headline_rows(analysis), "heldout": analysis.heldout, "budget": analysis.budget}
        tables |= {"trials_to_match": analysis.trials_to_match, "recipes": analysis.recipe_verdicts}
        text, notes, answers = headline_text(analysis), timing_sentences(analysis), analysis.answers
    except (ReportError, StoreError) as error:
        # What this start computed is whole; a damaged file of an earlier one does not change the exit code.
        print_error(f"the answer cannot be made: {error}")
    if as_json:
        found = {
            "folder": str(folder),
            "computed": outcome.computed,
            "already_computed": outcome.already_computed,
            "cells_seconds": outcome.cells_seconds,
            "timing_seconds": outcome.timing_seconds,
            "tasks_timed": outcome.tasks_timed,
            "timing_notes": notes,
            "errors": outcome.errors,
            "answer": answer_records(answers),
            # pandas writes what is not finite as null: JSON has no infinity.
            **{
                name: None if table is None else json.loads(table.to_json(orient="records"))
                for name, table in tables.items()
            },
            "next": following,
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if text:
        print(text)
    for note in notes:
        print(note)
    print(f"{_summarize(outcome)}. Next: {following}")


def _summarize(outcome: "Outcome") -> str:
    """How many cells were computed, in what time, and how many were there before."""
    total = outcome.computed + outcome.already_computed
    if not outcome.computed:
        timed = f", {outcome.tasks_timed} of its tasks timed again" if outcome.tasks_timed else ""
        return f"{outcome.already_computed} of {total} cells already computed{timed}"
    seconds = f"{outcome.cells_seconds:.0f} s (timing {outcome.timing_seconds:.0f} s)"
    before = f", {outcome.already_computed} already computed" if outcome.already_computed else ""
    return f"{outcome.computed} of {total} cells computed in {seconds}{before}"
