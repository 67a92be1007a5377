"""The operations that a rule states are those that its update executes, counted operator by operator."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from optimizers.adafac_mlp import AdafacMLP
from optimizers.adam import Adam
from optimizers.adamw import AdamW
from optimizers.base import Optimizer
from optimizers.gac import GAC
from optimizers.learned import LearnedOptimizer
from optimizers.learned_adam import LearnedAdam
from optimizers.lstm import LSTM
from optimizers.meta_sgd import MetaSGD
from optimizers.mlp import MLP
from optimizers.momentum import Momentum
from optimizers.nag import NAG
from optimizers.ntm_bfgs import NTMBFGS
from optimizers.rmsprop import RMSprop
from optimizers.rnnprop import RNNprop
from optimizers.sgd import SGD
from optimizers.star import STAR

COORDINATES = 8
ONE = {"mul", "add", "add_", "sub", "div", "sqrt", "neg", "abs", "log", "sign", "sigmoid", "tanh", "mul_", "div_"}
ONE |= {"exp", "elu", "rsqrt", "pow"}
THREE = {"lerp", "lerp_"}  # v + w (g - v)
NONE = {"zeros_like", "new_zeros", "view", "reshape", "_unsafe_view", "unsqueeze", "stack", "cat", "split", "slice"}
NONE |= {"relu", "alias", "expand", "clone", "permute", "transpose", "unbind", "split_with_sizes"}
NONE |= {"select", "where", "ge", "clamp_min", "full_like", "scalar_tensor", "detach", "_to_copy", "t", "lift_fresh"}


class Operations(TorchDispatchMode):
    """Counts the arithmetic of every operator on a tensor of the coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.unknown: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("addmm", "mm"):
            left, right = args[-2:]
            self.count += 2 * left.shape[0] * left.shape[1] * right.shape[1]
        elif name == "bmm":
            self.count += 2 * args[0].numel() * args[1].shape[2]
        elif name == "mean":
            self.count += args[0].numel()  # its additions
        elif not isinstance(result, torch.Tensor) or result.shape[-1:] != (COORDINATES,):
            return result  # cut in pieces, or shared by all coordinates
        elif name in ONE or name in THREE:
            self.count += result.numel() * (3 if name in THREE else 1)
        elif name not in NONE:
            self.unknown[name] += 1
        return result


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
    lstm(),
    lstm(preprocessing="log-linear", hidden=5, layers=3),
    lstm(preprocessing="none", hidden=7, layers=1),
    trained(GAC()),
    trained(NTMBFGS(preprocessing="log-linear", reads=2, memory=7, writes=3)),
    trained(RNNprop(layers=3)),
    trained(MLP(hidden=10, layers=3)),
    trained(AdafacMLP()),
    trained(STAR(hidden=5, layers=1)),
    trained(LearnedAdam()),
    trained(MetaSGD(shapes={"x": (COORDINATES,)})),
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_stated_operations_are_those_executed(rule: Optimizer) -> None:
    params, grads = {"x": torch.ones(1, 1, COORDINATES)}, {"x": torch.linspace(-1, 1, COORDINATES)[None, None]}
    state = rule.init(params)
    # A graph makes the LSTM take its plain path; the fast one does the same with other operators.
    with torch.set_grad_enabled(isinstance(rule, LearnedOptimizer)), Operations() as executed:
        rule.update(grads, state, params)
    assert not executed.unknown
    assert rule.flops_per_coordinate() == executed.count / COORDINATES


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
