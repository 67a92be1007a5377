"""Proposed updates: all optimizers see the history of the first; only what is said to be varied is varied."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from l2obench.bench.commands.cli import app
from l2obench.bench.measure.updates import Proposals, UpdatesError, proposals
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.rollout.step import advance, start
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.ntm_bfgs import NTMBFGS
from l2obench.tasks.quadratic import Quadratic

TASK = Quadratic(dim=4, horizon=12)
LEADER = Momentum(lr=0.01)


def asked(*others: Optimizer) -> Proposals:
    return proposals(TASK, [LEADER, *others], steps=[2, 9], coordinate=1)


def curve(found: Proposals, name: str, step: int, before: str) -> pd.DataFrame:
    rows = found.responses
    return rows[rows["optimizer"].str.startswith(name) & (rows["step"] == step) & (rows["before"] == before)]


def test_history_is_the_first_optimizers_trajectory() -> None:
    found = asked(SGD(lr=0.5))
    problems = Problems(TASK, [derive_seed("evaluation", "quadratic[dim=4]", 0)])
    with torch.no_grad():
        carry = start(problems, LEADER)
        for row in found.history.head(TASK.horizon).itertuples():
            before = float(carry.params["theta"][0, 0, 1])
            assert row.gradient == pytest.approx(float(carry.grads["theta"][0, 0, 1]))
            carry = advance(problems, LEADER, carry)
            assert row.update == pytest.approx(float(carry.params["theta"][0, 0, 1]) - before, rel=1e-3, abs=1e-6)
    follower = found.history[found.history["optimizer"] == "sgd[lr=0.5]"]
    np.testing.assert_allclose(follower["update"], -0.5 * follower["gradient"], rtol=1e-5)


def test_responses_are_the_rules() -> None:
    """SGD: −lr g, whatever came before. Momentum: the gradient before, turned, shifts the line by 2 lr β g."""
    found = asked(SGD(lr=0.5))
    gradients = found.history["gradient"].to_numpy()
    for step in (2, 9):
        for before in ("as it was", "sign turned"):
            line = curve(found, "sgd", step, before)
            np.testing.assert_allclose(line["update"], -0.5 * line["gradient"], rtol=1e-5, atol=1e-8)
        was, turned = (curve(found, "momentum", step, before) for before in ("as it was", "sign turned"))
        shift = 2 * LEADER.lr * LEADER.momentum * gradients[step - 2]
        np.testing.assert_allclose(turned["update"].to_numpy() - was["update"].to_numpy(), shift, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("step", [2, 9])
def test_what_happened_lies_on_the_line_of_what_would_have(step: int) -> None:
    """Also for a rule whose coordinates hear of each other, and whose state is consumed as it goes."""
    network = NTMBFGS(hidden=4, averaging=2, preprocessing="none").initialised(torch.Generator().manual_seed(0))
    found = asked(Adam(lr=0.1), network)
    for name in ("momentum", "adam", "ntm-bfgs"):
        line = curve(found, name, step, "as it was")
        met = found.history[found.history["optimizer"].str.startswith(name) & (found.history["step"] == step)].iloc[0]
        expected = np.interp(met["gradient"], line["gradient"], line["update"])
        assert expected == pytest.approx(met["update"], abs=0.01 * float(np.ptp(line["update"])))


def test_the_largest_gradients_are_looked_at_and_named() -> None:
    found = proposals(TASK, [LEADER])
    largest = [proposals(TASK, [LEADER], coordinate=k).history["gradient"].pow(2).mean() for k in range(4)]
    assert found.coordinate == int(np.argmax(largest))
    assert found.place == f"theta[{found.coordinate}]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": [13]}, r"step must be from 2 to 12, the horizon of quadratic\[dim=4,horizon=12\], got 13"),
        ({"steps": [1]}, "step must be from 2 to 12.* got 1$"),
        ({"coordinate": 4}, r"coordinate of .* must be from 0 to 3, got 4"),
        ({"optimizers": [SGD(lr=1e20)]}, "the first optimizer, diverges .* Try: a lower learning rate"),
    ],
)
def test_what_is_not_there(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UpdatesError, match=message):
        proposals(**({"task": TASK, "optimizers": [LEADER]} | changes))  # type: ignore[arg-type]


def test_the_command_writes_a_figure_and_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a" / "b"
    arguments = ["-t", "quadratic[horizon=20]", "-o", "lstm[checkpoint=quadratic]", "-o", "adam", "--step", "3"]
    app(["updates", *arguments, "--out", str(out)], standalone_mode=False)
    assert str(out / "updates.png") in capsys.readouterr().out
    assert (out / "updates.png").read_bytes().startswith(b"\x89PNG")
    assert set(pd.read_parquet(out / "responses.parquet")["step"]) == {3}
    assert len(pd.read_parquet(out / "history.parquet")) == 2 * 20
