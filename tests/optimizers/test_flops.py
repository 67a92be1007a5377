"""The operations that a rule states are those that its update executes, counted operator by operator."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from l2obench.bench.measure.operations import Operations
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.adamw import AdamW
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.designed.nag import NAG
from l2obench.optimizers.designed.relative_adam import RelativeAdam
from l2obench.optimizers.designed.rmsprop import RMSprop
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.gac import GAC
from l2obench.optimizers.learned.learned_adam import LearnedAdam
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.optimizers.learned.meta_sgd import MetaSGD
from l2obench.optimizers.learned.mlp import MLP
from l2obench.optimizers.learned.ntm_bfgs import NTMBFGS
from l2obench.optimizers.learned.rnnprop import RNNprop
from l2obench.optimizers.learned.star import STAR
from l2obench.optimizers.learned.velo import VeLO

COORDINATES = 8


def trained(rule: LearnedOptimizer) -> LearnedOptimizer:
    return rule.initialised(torch.Generator().manual_seed(0))


def lstm(**parameters: Any) -> LearnedOptimizer:
    return trained(LSTM(**parameters))


RULES = [
    SGD(),
    Momentum(),
    NAG(),
    RMSprop(),
    Adam(),
    AdamW(),
    RelativeAdam(),
    lstm(),
    lstm(preprocessing="log-linear", hidden=5, layers=3),
    lstm(preprocessing="none", hidden=7, layers=1),
    trained(GAC()),
    trained(NTMBFGS(preprocessing="log-linear", reads=2, memory=7, writes=3)),
    trained(RNNprop(layers=3)),
    trained(MLP(hidden=10, layers=3)),
    trained(AdafacMLP()),
    trained(STAR(hidden=5, layers=1)),
    trained(VeLO(hidden=5, bank=3)),
    trained(LearnedAdam()),
]


def executed(rule: Optimizer, coordinates: int) -> float:
    """The operations of one update; a graph makes the LSTM take its plain path, the fast one is another formula."""
    params = {"x": torch.ones(1, 1, coordinates)}
    grads = {"x": torch.linspace(-1, 1, coordinates)[None, None]}
    state = rule.observe(rule.init(params), torch.ones(1, 1), 10)
    with torch.set_grad_enabled(isinstance(rule, LearnedOptimizer)), Operations() as counted:
        rule.update(grads, state, params)
    assert counted.flops is not None, counted.unknown
    return counted.flops


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_stated_operations_are_those_executed(rule: Optimizer) -> None:
    """Of two sizes the difference: what all coordinates share is not stated."""
    both = executed(rule, 2 * COORDINATES) - executed(rule, COORDINATES)
    assert rule.flops_per_coordinate() == both / COORDINATES


def test_stated_operations_of_a_rule_for_one_architecture() -> None:
    rule = trained(MetaSGD(shapes={"x": (COORDINATES,)}))
    assert rule.flops_per_coordinate() == executed(rule, COORDINATES) / COORDINATES


def test_products_of_the_papers_lstm() -> None:
    """Two layers of 20 units on two inputs: 2·80·22 + 2·80·40 + 2·20 = 9,960 of a coordinate's operations."""
    rule, params = lstm(), {"x": torch.ones(COORDINATES)}
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        rule.update({"x": torch.ones(COORDINATES)}, rule.init(params), params)
    assert counter.get_total_flops() == 9_960 * COORDINATES
    stated = rule.flops_per_coordinate()
    assert stated is not None
    assert stated - 9_960 == 5 + 2 * 20 * 9 + 2


def test_who_has_not_counted_says_so() -> None:
    class Mine(Optimizer):
        name = "mine"

        def init(self, params: Any) -> Any:
            return {}

        def update(self, grads: Any, state: Any, params: Any) -> Any:
            return grads, state

    assert Mine().flops_per_coordinate() is None
