"""`l2obench.report`, `l2obench.check` and `l2obench.train`, as a user calls them one after the other."""

from pathlib import Path

import matplotlib
import pytest
import torch

import l2obench
from l2obench.api.naming import BadArgument

SHORT = "quadratic[horizon=5]"
BRIEF = {"trajectories": 1, "unroll": 5, "functions": 2, "validation_functions": 2, "progress": False}


def run(folder: Path, optimizers: list[str]) -> l2obench.Results:
    return l2obench.run(tasks=SHORT, optimizers=optimizers, seeds=12, tune=False, out=folder, progress=False)


def test_runs_are_reported_side_by_side(tmp_path: Path) -> None:
    first, second = run(tmp_path / "first", ["adam"]), run(tmp_path / "second", ["adam", "sgd"])
    page = l2obench.report([first, second.folder], out=tmp_path / "report", figures=["svg"])
    assert page == tmp_path / "report" / "index.html"
    assert list((tmp_path / "report" / "figures").glob("*.svg"))
    assert l2obench.report(first) == tmp_path / "first" / "report" / "index.html"


def test_a_check_of_equal_results_passes_and_of_worse_ones_fails(tmp_path: Path) -> None:
    base = run(tmp_path / "base", ["adam"])
    assert l2obench.check(base, str(base.folder)).passed
    worse = l2obench.check(base, run(tmp_path / "head", ["sgd"]))
    assert not worse.passed
    assert set(worse.frame()["verdict"]) == {"missing", "new"}
    assert worse.summary in repr(worse)


def test_a_trained_optimizer_is_loaded_run_and_gated(tmp_path: Path) -> None:
    trained = l2obench.train("lstm", SHORT, out=tmp_path / "training", **BRIEF)
    assert trained.checkpoint.exists()
    assert len(trained.log) == 1
    again = l2obench.train("lstm", SHORT, out=tmp_path / "training", **BRIEF)
    assert again.best_validation == trained.best_validation
    l2obench.load(trained.optimizer, [torch.nn.Parameter(torch.ones(2))])
    assert run(tmp_path / "run", ["adam", trained.optimizer]).failures == 0
    checkpoint = str(trained.checkpoint)
    same = l2obench.check(checkpoint=checkpoint, against=checkpoint, tasks=SHORT, seeds=12, progress=False)
    assert same.passed


def test_a_training_leaves_the_backend_of_matplotlib_alone(tmp_path: Path) -> None:
    """A notebook would show no more pictures."""
    before = matplotlib.get_backend()
    try:
        matplotlib.use("svg")
        l2obench.train("lstm", SHORT, out=tmp_path / "training", **BRIEF)
        assert matplotlib.get_backend() == "svg"
    finally:
        matplotlib.use(before)


def test_a_wrong_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadArgument, match="Did you mean trajectories"):
        l2obench.train("lstm", SHORT, trajectorys=3)


@pytest.mark.parametrize("arguments", [{}, {"checkpoint": "mnist"}, {"head": "x", "checkpoint": "a", "against": "b"}])
def test_a_check_says_what_it_needs(arguments: dict[str, str]) -> None:
    with pytest.raises(BadArgument, match="give base and head, or both checkpoint and against"):
        l2obench.check(**arguments)  # type: ignore[arg-type]


def test_a_report_is_of_a_run() -> None:
    with pytest.raises(BadArgument, match="runs must name one results folder at least"):
        l2obench.report([])
    with pytest.raises(BadArgument, match=r"got an object of builtins\.int"):
        l2obench.report([3])  # type: ignore[list-item]
