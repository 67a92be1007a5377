"""Worker processes without the seconds that a new interpreter takes to import torch."""

import faulthandler
import multiprocessing
from multiprocessing.connection import Connection

import pytest

from l2obench.bench.run import worker


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes are forks of this one. Tests of what a plugin leaves behind, or finds, take new interpreters."""
    real, serve = multiprocessing.get_context, worker._serve

    def serve_quietly(connection: Connection) -> None:
        faulthandler.disable()  # pytest's, which a new interpreter does not have
        serve(connection)

    monkeypatch.setattr(worker, "_serve", serve_quietly)
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: real("fork" if method == "spawn" else method))
