"""The budget of memory: it decides how many replicas run at once, and no number."""

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.measure.tuning import tune
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.memory import COPIES, seed_bytes, seeds_that_fit, settings_that_fit
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.adam import Adam
from l2obench.tasks.base import Task
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic
from l2obench.tasks.transformer import CharTransformer

TASKS = [Quadratic(horizon=20), MnistMlp(units=5, batch=16, horizon=20)]
RULES: list[Optimizer] = [Adam(lr=0.01), optimizer_registry().create("lstm[checkpoint=mnist]")]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_number_depends_on_it(task: Task, rule: Optimizer) -> None:
    seeds = list(range(7))
    steps: list[None] = []
    budget = 3.5 * seed_bytes(task, rule, 1)
    whole = rollout(task, rule, seeds, dtype=torch.float64)
    parts = rollout(
        task, rule, seeds, dtype=torch.float64, options=RunOptions(memory=budget), on_step=lambda: steps.append(None)
    )
    assert len(steps) == 3 * task.horizon  # 3, 3 and 1 seeds
    torch.testing.assert_close(parts.losses, whole.losses)
    assert torch.equal(parts.diverged_at, whole.diverged_at)
    assert parts.state_bytes == whole.state_bytes
    for name, value in whole.heldout.items():
        torch.testing.assert_close(parts.heldout[name], value)


def test_tuning_chooses_the_same_with_one_replica_at_a_time() -> None:
    task = Quadratic(horizon=10)
    whole, single = tune(task, Adam(), 3), tune(task, Adam(), 3, options=RunOptions(memory=1.0))
    assert single.lr == whole.lr
    assert [row["final_loss"] for row in single.rows] == pytest.approx([row["final_loss"] for row in whole.rows], 1e-3)


def test_a_stacked_optimizer_of_any_class_is_counted() -> None:
    task, rates = Quadratic(horizon=3), torch.tensor([[0.1, 0.2, 0.3]])
    for name in ("adam", "torch.optim.Adam", "pytorch_optimizer.Lion"):
        stacked = optimizer_registry().create(name).stacked({"lr": rates})
        assert rollout(task, stacked, [1, 2], 3, options=RunOptions(memory=1.0)).losses.shape == (2, 3, 4)


def test_activations_count_where_a_family_states_them() -> None:
    """A transformer's outweigh its parameters; a replica more takes that much more."""
    task = CharTransformer()
    two, one = (seed_bytes(task, Adam(), settings) for settings in (2, 1))
    parameters = sum(value.numel() for value in task.sample(torch.Generator()).params.values())
    assert two - one == pytest.approx(task.activation_bytes() + 4 * (COPIES + 2) * parameters, rel=0.01)
    assert task.activation_bytes() > 0.5 * (two - one)


def test_a_replica_counts_its_state() -> None:
    """The LSTM's 160 numbers a coordinate weigh more than all else; one replica runs in whatever there is."""
    task, lstm = MnistMlp(), RULES[1]
    coordinates = 784 * 20 + 20 + 200 + 10
    difference = seed_bytes(task, lstm, 1) - seed_bytes(task, Adam(), 1)
    expected = (2 * lstm.hidden * lstm.layers - 2) * 4 * coordinates  # type: ignore[attr-defined]
    assert difference == pytest.approx(expected, rel=0.01)
    assert seeds_that_fit(task, lstm, 10, 0.0) == settings_that_fit(task, lstm, 0.0) == 1
    assert settings_that_fit(task, lstm, seed_bytes(task, lstm, 6)) == 6
