"""A second run of a cell gives equal numbers, or its rows, the run and the report say that it does not."""

from pathlib import Path

import pytest

from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.sections.repetition import repetition_sentences

PLUGIN = """
import itertools, random
import numpy as np
import torch
from pydantic import PrivateAttr
from l2obench.optimizers.designed.sgd import SGD

MODULE = np.random.default_rng()
COUNT = itertools.count()
MADE = []


class Noisy(SGD):
    def noise(self):
        raise NotImplementedError

    def update_tensor(self, grad, state, param):
        return -0.01 * (grad + self.noise()), state


class OwnNumpy(Noisy):
    _rng = PrivateAttr(default_factory=lambda: np.random.default_rng())

    def noise(self):
        return float(self._rng.normal())


class OwnPython(Noisy):
    _rng = PrivateAttr(default_factory=lambda: random.Random())

    def noise(self):
        return self._rng.random()


class OfItsModule(Noisy):
    def noise(self):
        return float(MODULE.normal())


class FreshTorch(Noisy):
    def noise(self):
        fresh = torch.Generator()
        fresh.seed()
        return torch.rand((), generator=fresh)


class Counts(Noisy):
    '''No random numbers, but it goes on counting where another run ended.'''


    def noise(self):
        return 0.1 * next(COUNT)


class AfterAWarmUp(Noisy):
    _rng = PrivateAttr(default_factory=lambda: np.random.default_rng())

    def init_tensor(self, param):
        return {"step": 0}

    def update_tensor(self, grad, state, param):
        noise = float(self._rng.normal()) if state["step"] > 2 else 0.0
        return -0.01 * (grad + noise), {"step": state["step"] + 1}


class Global(Noisy):
    def noise(self):
        return random.random() + np.random.rand() + torch.rand(())


class OwnSeeded(Noisy):
    _rng = PrivateAttr(default_factory=lambda: np.random.default_rng(0))

    def noise(self):
        return float(self._rng.normal())


class Still(Noisy):
    def noise(self):
        return 0.0


class OnlyOnce(Still):
    def init_tensor(self, param):
        MADE.append(self)
        if len(MADE) > 2:
            raise ValueError("it can be started once")
        return super().init_tensor(param)
"""
OTHER = ["OwnNumpy", "OwnPython", "OfItsModule", "FreshTorch", "Counts", "AfterAWarmUp", "OnlyOnce"]
EQUAL = ["Global", "OwnSeeded", "Still"]


@pytest.mark.usefixtures("forks")
def test_what_repeats_and_what_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "draws.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    rules = ["sgd", *(f"./draws.py:{name}" for name in [*OTHER, *EQUAL])]
    values = {"optimizers": rules, "tasks": [{"task": "quadratic[horizon=40]"}], "seeds": 2, "tracks": ["default"]}
    lines: list[str] = []
    outcome = Runner(RunFolder("it"), make_suite("test", values).cells(), report=lines.append).execute({"suite": "t"})
    assert outcome.errors == []
    frame = RunFolder("it").read("cells")
    found = {name.rpartition(":")[2]: set(rows["repeats"]) for name, rows in frame.groupby("optimizer")}
    assert found == {"sgd": {None}} | {name: {False} for name in OTHER} | {name: {True} for name in EQUAL}
    said = [line for line in lines if "a second run gives other numbers" in line]
    assert len(said) == len(OTHER)
    sentences = repetition_sentences(frame)
    assert len(sentences) == len(OTHER)
    assert any(
        "A second run of ./draws.py:OwnNumpy on quadratic[horizon=40] gives other numbers" in s for s in sentences
    )
