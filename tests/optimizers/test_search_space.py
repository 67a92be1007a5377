"""Search spaces: every declared range gives values that the rule takes, one by one and stacked as settings."""

import pytest
import torch

from l2obench.bench.config.budget import search_space
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.measure.trials import draw_trials, with_hyperparameters
from l2obench.optimizers import RULES
from l2obench.optimizers.base import Optimizer, State, Tensors
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.search_space import RATE, SCHEDULES, Choice, Decay, LogRange
from l2obench.tasks.perceptron import Perceptron

SHARES = [0.0, 0.1, 0.5, 0.99, 1.0]


def declaring() -> list[str]:
    registry = optimizer_registry()
    return [name for name in RULES if search_space(registry.create(name), heldout=True)]


@pytest.mark.parametrize("dimension", [LogRange(1e-4, 10), Decay(0.5, 0.99)])
def test_numbers_rise_from_one_end_to_the_other(dimension: LogRange | Decay) -> None:
    values = [dimension.at(share) for share in SHARES]
    assert values == sorted(values)
    assert (values[0], values[-1]) == pytest.approx((dimension.low, dimension.high))


def test_choices_are_equally_likely() -> None:
    found = [Choice((1, 2, 3)).at(k / 300) for k in range(300)]
    assert [found.count(value) for value in (1, 2, 3)] == [100, 100, 100]


def test_what_a_user_gives_is_not_searched() -> None:
    assert "momentum" in search_space(Momentum())
    assert "momentum" not in search_space(Momentum(momentum=0.9))
    scheduled = optimizer_registry().create("momentum[schedule=cosine]")
    assert "schedule" not in search_space(scheduled)


def test_a_regularizer_is_searched_where_held_out_loss_chooses() -> None:
    rule = optimizer_registry().create("adamw")
    assert "weight_decay" not in search_space(rule)
    assert "weight_decay" in search_space(rule, heldout=True)


class Plugin(Optimizer):
    """Declares nothing."""

    name = "plugin"
    lr: float = 0.1

    def init(self, params: Tensors) -> State:
        return {}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        return grads, state


class Timed(Plugin):
    """Knows the horizon."""

    uses = ("horizon",)


def test_a_rule_that_declares_nothing_has_its_rate_searched_and_a_schedule_unless_it_has_one() -> None:
    assert search_space(Plugin()) == {"lr": RATE, **SCHEDULES}
    assert search_space(Timed()) == {"lr": RATE}
    assert search_space(optimizer_registry().create("lstm")) == {}


@pytest.mark.parametrize("name", declaring())
def test_every_value_is_a_value_of_the_rule(name: str) -> None:
    registry = optimizer_registry()
    space = search_space(registry.create(name), heldout=True)
    for share in SHARES:
        values = {key: dimension.at(share) for key, dimension in space.items()}
        made = registry.create(name, values)
        # A constant schedule is the rule itself.
        for key in values.keys() & set(type(made).model_fields):
            assert getattr(made, key) == values[key]


@pytest.mark.parametrize(
    "name", [name for name in declaring() if name not in ("elo", "elo-celo2", "celo2", "celo2-base")]
)
@torch.no_grad()
def test_stacked_values_give_what_each_gives_alone(name: str) -> None:
    """A budget's trials run as settings of one rollout."""
    task = Perceptron(units=3, horizon=4)
    rule = optimizer_registry().create(name)
    space = search_space(rule, heldout=True)
    numbers = {key: dimension for key, dimension in space.items() if not isinstance(dimension, Choice)}
    trials = [values | {"schedule": "wsd", "warmup": 0.5} for values in draw_trials(numbers, 3)]
    if "schedule" not in space:
        trials = [{key: values[key] for key in numbers} for values in trials]
    random = torch.Generator().manual_seed(0)
    shapes = {"w": (4, 3), "b": (3,)}
    start = {key: torch.randn(2, 1, *shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
    grads = [
        {key: torch.randn(2, 1, *shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
        for _ in range(4)
    ]
    first = with_hyperparameters(rule, trials[0], task)
    keys = [key for key, value in trials[0].items() if isinstance(value, float)]
    together = first.stacked({key: torch.tensor([[values[key] for values in trials]]).double() for key in keys})
    found = run(together, start, grads, 3)
    for place, values in enumerate(trials):
        alone = run(with_hyperparameters(rule, values, task), start, grads, 1)
        for key in shapes:
            torch.testing.assert_close(found[key][:, place], alone[key][:, 0], rtol=1e-4, atol=1e-6)


def run(rule: Optimizer, start: Tensors, grads: list[Tensors], settings: int) -> Tensors:
    """Parameters after all steps on the same gradients in every setting."""
    params = {key: value.expand(-1, settings, *value.shape[2:]).clone() for key, value in start.items()}
    state = rule.init(params)
    for each in grads:
        wide = {key: value.expand(-1, settings, *value.shape[2:]).contiguous() for key, value in each.items()}
        state = rule.observe(state, torch.ones(2, settings, dtype=torch.float64), len(grads))
        updates, state = rule.update(wide, state, params)
        params = {key: params[key] + updates[key] for key in params}
    return params
