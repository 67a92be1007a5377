"""Kills at random moments: each is followed by the same command, whose numbers are compared with undisturbed ones."""

import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

from tests.faults.campaign.cluster_kills import kill_workers
from tests.faults.campaign.in_turn import same_rows
from tests.faults.campaign.journal import Journal, Try
from tests.faults.campaign.judge import Ending, judge
from tests.faults.warm_server import HANG, WarmServer

# The report of a small run takes seconds, and all of them wait for a processor.
LIMIT_SECONDS = 60.0
TASKS = ["-t", "quadratic[dim=3,horizon=60]", "-t", "quadratic[dim=4,horizon=60]", "--no-timing"]
RUN = ["run", *TASKS, "-o", "sgd[lr=0.01]", "-o", "adam[lr=0.1]", "-o", "lstm[checkpoint=quadratic]", "--seeds", "4"]
TUNING = ["run", *TASKS, "-o", "sgd", "-o", "adam", "--seeds", "4"]
TRAINING = ["train", "lstm[hidden=3]", "-t", "quadratic[dim=2,horizon=10]", "--unroll", "5", "--trajectories", "12"]
TRAINING += ["--functions", "4", "--validation-functions", "4", "--validate-every", "2"]
REPORT = ["report", "run"]


@dataclass(frozen=True)
class Victim:
    """A command that is killed."""

    title: str
    """As the table names it."""
    arguments: list[str]
    share: int
    """Of 200 kills."""
    same: Callable[[Path, Path], bool]
    """Whether what two of them made is the same."""
    kept: str
    """Files that are there after a kill and must stay as they are."""


def _same_states(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "state.safetensors") for folder in (one, other))
    same = first.keys() == second.keys() and all(bool((first[name] == second[name]).all()) for name in first)
    logs = [pd.read_csv(folder / "log.csv").drop(columns="seconds", errors="ignore") for folder in (one, other)]
    return same and logs[0].equals(logs[1])


def _same_tables(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in (one / "tables").glob("*.csv"))
    same = [(one / "tables" / name).read_bytes() == (other / "tables" / name).read_bytes() for name in names]
    return bool(names) and all(same) and (one / "index.html").stat().st_size == (other / "index.html").stat().st_size


VICTIMS = {
    "run": Victim("a run", RUN, 80, same_rows, "cells/*.parquet"),
    "tuning": Victim("a run that tunes", TUNING, 50, same_rows, "*/*.parquet"),
    "training": Victim("a meta-training", TRAINING, 50, _same_states, ""),
    "report": Victim("a report", REPORT, 10, _same_tables, ""),
}
CLUSTER = "a Dask worker"
CLUSTER_SHARE = 12


def run_kills(folder: Path, journal: Journal, seed: int, total: int) -> None:
    """Make all kills that the journal does not have yet.

    Args:
        folder: of the campaign.
        journal: where each kill is noted.
        seed: of the moments.
        total: how many kills there are, of all kinds together.
    """
    place = folder / "kills"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    done = {(made.kind, made.number) for made in journal.tries()}
    whole = sum(victim.share for victim in VICTIMS.values()) + CLUSTER_SHARE
    with WarmServer(place) as server:
        for name, victim in VICTIMS.items():
            todo = [number for number in range(-(-total * victim.share // whole)) if (name, number) not in done]
            if todo:
                takes = _undisturbed(server, place, name, victim)
                for made in _kill(server, place, name, victim, todo, takes, seed):
                    journal.add(made)
                print(f"{len(todo)} kills of {victim.title}", file=sys.stderr, flush=True)
    count = -(-total * CLUSTER_SHARE // whole)
    if any(("cluster", number) not in done for number in range(count)):
        for made in kill_workers(place / "cluster", count):
            if (made.kind, made.number) not in done:
                journal.add(made)


def _undisturbed(server: WarmServer, place: Path, name: str, victim: Victim) -> float:
    """Run a command that nobody kills: the seconds it takes."""
    if name == "report":
        assert server.run(*RUN, "--out", "run", limit=LIMIT_SECONDS).code == 0
    ending = server.run(*victim.arguments, "--out", f"{name}-undisturbed", limit=LIMIT_SECONDS)
    assert ending.code == 0, ending
    return ending.seconds


def _kill(
    server: WarmServer, place: Path, name: str, victim: Victim, todo: list[int], takes: float, seed: int
) -> Iterator[Try]:
    """Kill a command, and start it again until it ends by itself: a kill of a second start is one more."""
    waiting = list(reversed(todo))
    while waiting:
        number = waiting[-1]
        rng = random.Random(f"{name} {seed} {number}")
        out = place / f"{name}-{number}"
        shutil.rmtree(out, ignore_errors=True)
        command = [*victim.arguments, "--out", out.name]
        numbers, harm = [], None
        for attempt in range(3):  # some are killed once, others three times in a row
            if waiting and (attempt == 0 or rng.random() < 0.5):
                ending = server.run(
                    *command, limit=LIMIT_SECONDS, signal=signal.SIGKILL, after=rng.uniform(0.02, takes)
                )
                if ending.code == -signal.SIGKILL:
                    numbers.append(waiting.pop())
                takes = ending.seconds if ending.code == 0 else takes  # the machine was quicker than it was before
        kept = {path: path.read_bytes() for path in out.glob(victim.kept)} if victim.kept else {}
        ending = server.run(*command, limit=LIMIT_SECONDS)
        if ending.code != 0 or ending.err:
            harm = judge(Ending(ending.code, 0.0, ending.out, ending.err)) or f"exit code {ending.code}"
            harm = "hang" if ending.code == HANG else harm
        elif any(path.read_bytes() != content for path, content in kept.items()):
            harm = "a finished file was changed"
        elif not victim.same(place / f"{name}-undisturbed", out):
            harm = "other numbers"
        else:
            shutil.rmtree(out)
        for number in numbers:
            yield Try(name, number, "the same command ended with the same numbers", harm)
