"""Runs the inputs of a campaign one after the other, in a child that may die, and keeps what did harm."""

import os
import resource
import shutil
import sys
import traceback
from pathlib import Path

import pandas as pd

from tests.faults.campaign.here import run_here, seeded
from tests.faults.campaign.inputs import KINDS, RUN, TRAIN, Good
from tests.faults.campaign.journal import Journal, Try
from tests.faults.campaign.judge import describe_outcome, digests, judge

# Inputs of one child. What an input leaves in a process, as a module, is gone with it.
BATCH = 100
# An input that unfolds to more memory than this fails in its child.
MEMORY_BYTES = 2**32


def run_inputs(folder: Path, journal: Journal, seed: int, total: int, processes: int) -> None:
    """Run all inputs that the journal does not have yet.

    Args:
        folder: of the campaign: good files, the folder of the input at work, and inputs that did harm.
        journal: where each try is noted.
        seed: of all inputs.
        total: how many inputs there are, of all kinds together.
        processes: how many run beside each other.
    """
    from tests.faults.warm_server import preload

    preload()
    good = make_good(folder)
    done = {(made.kind, made.number) for made in journal.tries()}
    todo = [item for item in plan(total) if item not in done]
    at_work: dict[int, list[tuple[str, int]]] = {}
    while todo or at_work:
        while todo and len(at_work) < processes:
            batch, todo = todo[:BATCH], todo[BATCH:]
            child = os.fork()
            if child == 0:
                _run_batch(batch, folder, good, journal, seed)
            at_work[child] = batch
        child, status = os.wait()
        batch = at_work.pop(child)
        noted = {(made.kind, made.number) for made in journal.tries()}
        left = [item for item in batch if item not in noted]
        if left:  # the child died at the first of them
            kind, number = left[0]
            code = os.waitstatus_to_exitcode(status)
            journal.add(Try(kind, number, "the process died", f"exit code {code} of the process"))
            todo = left[1:] + todo
        print(f"{len(noted)} inputs tried, {len(todo)} left", file=sys.stderr, flush=True)


def plan(total: int) -> list[tuple[str, int]]:
    """The inputs in turn: whenever the campaign stops, every kind has had its share."""
    whole = sum(kind.share for kind in KINDS.values())
    counts = {name: max(1, round(total * kind.share / whole)) for name, kind in KINDS.items()}
    places = [((number + 0.5) / count, name, number) for name, count in counts.items() for number in range(count)]
    return [(name, number) for _, name, number in sorted(places)]


def make_good(folder: Path) -> Good:
    """Make the good files that inputs are made from, once."""
    good = Good(folder / "good" / "run", folder / "good" / "training")
    if not (folder / "good" / "training" / "checkpoint.safetensors").exists():
        shutil.rmtree(folder / "good", ignore_errors=True)
        (folder / "good").mkdir(parents=True)
        for arguments in ([*RUN, "--out", "run"], [*TRAIN, "--out", "training"]):
            ending = run_here(folder / "good", *arguments)
            assert ending.code == 0, ending
    return good


def _run_batch(batch: list[tuple[str, int]], folder: Path, good: Good, journal: Journal, seed: int) -> None:
    """The child. Does not return."""
    code = 1
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
        for kind, number in batch:
            journal.add(run_input(kind, number, folder, good, seed))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run_input(kind: str, number: int, folder: Path, good: Good, seed: int) -> Try:
    """Make one input, run its commands, and judge them and what they left."""
    place = folder / f"input-{os.getpid()}" / "it"
    shutil.rmtree(place.parent, ignore_errors=True)
    place.mkdir(parents=True)
    rng = seeded(kind, seed, number)
    outcome, harm, arguments = "no command", None, list[str]()
    for arguments in KINDS[kind].make(place, rng, good):
        before = digests(place)
        ending = run_here(place, *arguments)
        outcome, harm = describe_outcome(ending.code), judge(ending, KINDS[kind].prints, KINDS[kind].runs)
        after = digests(place)
        if harm is None and ending.code != 0 and (lost := before.keys() - after.keys()):
            harm = f"lost {sorted(lost)[0]}"
        if harm is None and KINDS[kind].runs and ending.code == 0 and not same_rows(good.run, place / "it"):
            harm = "wrong rows"
        if harm is None and any(path.endswith(".part") for path in after):
            harm = "temporary files stay"
        if harm is not None:
            kept = folder / "harm" / f"{kind}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(exist_ok=True)
            shutil.copytree(place, kept, symlinks=True, ignore=_special)
            text = f"{harm}\n{arguments!r}\n{ending.code} {ending.seconds}\n{ending.err}\n{ending.out}"
            (kept / "ENDING").write_text(text, encoding="utf-8", errors="backslashreplace")
            break
    shutil.rmtree(place.parent, ignore_errors=True)
    return Try(kind, number, outcome, harm)


def _special(folder: str, names: list[str]) -> list[str]:
    """Files that cannot be copied: FIFOs, and those of terabytes."""
    paths = [Path(folder) / name for name in names]
    odd = [path for path in paths if not (path.is_file() or path.is_dir() or path.is_symlink())]
    large = [path for path in paths if path.is_file() and not path.is_symlink() and path.stat().st_size > 2**24]
    return [path.name for path in [*odd, *large]]


def same_rows(first: Path, second: Path) -> bool:
    """Whether two runs have the same cells and the same losses, to the last bit."""
    keys = ["task", "optimizer", "track", "seed"]
    one, other = (pd.read_parquet(folder / "cells").sort_values(keys, ignore_index=True) for folder in (first, second))
    columns = [*keys, "hyperparameters", "status", "final_loss", "function_sha256"]
    same = one[columns].equals(other[columns])
    return same and all(list(a) == list(b) for a, b in zip(one["loss"], other["loss"], strict=True))
