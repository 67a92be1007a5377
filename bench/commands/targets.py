"""`l2obench targets`: the fixed targets that a run gives."""

import os
from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.completion import complete_run

# Far above any list of targets.
MAX_BYTES = 2**24


def targets(
    run: Annotated[
        Path,
        typer.Argument(
            help="Results folder with tuned baselines, or the name of its suite.", autocompletion=complete_run
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="TOML file of targets to update. Unless given, they are printed.")
    ] = None,
) -> None:
    """Make fixed target losses from a run.

    The target of a task is the median final loss of its best tuned baseline. In a file, targets of the same task and
    version are replaced, and all others stay.

    Exit codes: 0 finished, 2 wrong usage or no target.

    Examples:
        l2obench targets results/quick
        l2obench targets results/quick --out targets.toml
    """
    from l2obench.api.locating import find_results
    from l2obench.bench.stats.targets import TargetError, format_targets, make_targets, parse_targets
    from l2obench.bench.store.files import write_atomically
    from l2obench.bench.store.results_file import StoreError
    from l2obench.bench.store.run_folder import RunFolder
    from l2obench.foundation.regular_file import FileRefused, read_regular_file

    results = RunFolder(find_results(run))
    environment = results.manifest.get("environment") or {}
    commit = str(environment.get("commit") or "unknown") + ("+" if environment.get("dirty") else "")
    made = make_targets(results.read("cells"), commit)
    if not made:
        raise TargetError(
            f"{run} must hold a tuned baseline with a finite median final loss, got none. Try: a suite that tunes"
        )
    if out is None:
        print(format_targets(made), end="")
        return
    try:
        text = read_regular_file(out, MAX_BYTES).decode() if os.path.lexists(out) else ""
        kept = parse_targets(text) | {(target.task, target.task_version): target for target in made}
        heading = "".join(f"{line}\n" for line in text.splitlines() if line.startswith("#"))
        write_atomically(out.resolve(), (heading + "\n" * bool(heading) + format_targets(kept.values())).encode())
    except (FileRefused, UnicodeDecodeError) as error:
        raise StoreError(f"{out}: {error}") from error
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror}. Try: another --out") from error
    print(f"Targets written to {out}: {len(made)} of {len(kept)} come from {run}.")
