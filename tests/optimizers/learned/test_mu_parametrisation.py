"""µLO: the formulas of adafac-mlp and VeLO, with the updates of hidden matrices over their fan-in."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.learned.mu_parametrisation import MuAdafacMLP, MuVeLO, width_factors
from l2obench.optimizers.learned.velo import VeLO
from tests.optimizers.learned import celo_reference as reference
from tests.optimizers.learned.formula_steps import (
    DOUBLE,
    SHAPES,
    Arrays,
    Step,
    assert_is_formula,
    numbers,
    start,
    streams,
    trained,
)

# "wide" is the first matrix and "square_filter" the last one that is no embedding; in our layout.
FAN_IN = {"tall": 4, "square": 5, "filter": 4 * 9}


def perceptron_alone(rule: Any) -> Any:
    """A rule whose decays are as at first: the reference has those fixed."""
    still = {name: 0 * value if "decay" in name else value for name, value in rule.meta_parameters.items()}
    return rule.with_meta_parameters(still)


@pytest.mark.parametrize("base_width", [1.0, 8.0])
def test_mu_adafac_mlp_is_its_authors_formula(base_width: float) -> None:
    rule = perceptron_alone(trained(MuAdafacMLP(hidden=6, base_width=base_width)))

    def begin(params: Arrays) -> Step:
        memory = {name: reference.remember(value.shape) for name, value in params.items()}

        def step(t: int, params: Arrays, grads: Arrays, loss: float) -> Arrays:
            moves = {}
            for name, theta in params.items():
                move = reference.small_fc_direction(numbers(rule), theta, grads[name], memory[name], t)
                moves[name] = -0.01 * move * (base_width / FAN_IN[name] if name in FAN_IN else 1.0)
            return moves

        return step

    assert_is_formula(rule, begin)


def test_learned_decays_move_the_accumulators() -> None:
    """1 − β = (1 − β₀) e^{10 δ} with β₀ of 0.9, 0.99 and 0.999."""
    rule = trained(MuAdafacMLP(hidden=3))
    params = {"w": torch.zeros(1, 1, 3, 2, dtype=DOUBLE)}
    with torch.no_grad():
        _, state = rule.update({"w": torch.ones_like(params["w"])}, rule.init(params), params)
    rates = np.array([0.1, 0.01, 0.001]) * np.exp(10 * rule.meta_parameters["momentum_decays"].numpy())
    np.testing.assert_allclose(state["of"]["w"]["momenta"][:, 0, 0, 0, 0].numpy(), rates)


def test_mu_velo_is_velo_without_the_size_of_the_weights_over_the_fan_in() -> None:
    """VeLO itself is tested against steps of the reference implementation."""
    rule = trained(MuVeLO(hidden=6, bank=3))
    velo = VeLO(hidden=6, bank=3).with_meta_parameters(
        {
            # Weights are mixed with a factor of 100 there; controls are linear, and a hundredth of them is the same.
            name: value / 100 if name.startswith("controls") else value
            for name, value in rule.meta_parameters.items()
        }
    )
    params, factors = start(), width_factors(start(), 1.0)
    with torch.no_grad():
        states = [rule.init(params), velo.init(params)]
        for grads, losses in streams():
            ours, states[0] = rule.update(grads, rule.observe(states[0], losses, 40), params)
            plain, states[1] = velo.update(grads, velo.observe(states[1], losses, 40), params)
            for name, theta in params.items():
                size = (theta.reshape(2, 1, -1).square().mean(-1) + 1e-9).sqrt()
                expected = plain[name] / size.reshape(2, 1, *[1] * (theta.ndim - 2)) * factors[name]
                torch.testing.assert_close(ours[name], expected, rtol=1e-9, atol=1e-15)
            params = {name: theta + ours[name] for name, theta in params.items()}


def test_only_hidden_matrices_shrink_with_their_fan_in() -> None:
    shapes = {**SHAPES, "token_embed.weight": (100, 16)}
    factors = width_factors({name: torch.empty(1, 1, *shape) for name, shape in shapes.items()}, 1.0)
    assert {name: 1 / factor for name, factor in factors.items() if factor != 1} == pytest.approx(FAN_IN)


def change_of_outputs(name: str, width: int) -> float:
    """How far one step moves the outputs of a hidden layer, for a gradient as backpropagation makes it."""
    rule = optimizer_registry().create(f"{name}[checkpoint=random,hidden=32,step_size=0.01]")
    random = torch.Generator().manual_seed(0)
    shapes = {"first": (width, 8), "hidden": (width, width), "last": (3, width)}
    params = {key: torch.randn(1, 1, *shape, generator=random) / math.sqrt(shape[1]) for key, shape in shapes.items()}
    inputs, above = torch.randn(width, generator=random), torch.randn(width, generator=random)
    grads = {key: torch.randn(value.shape, generator=random) for key, value in params.items()}
    grads["hidden"] = torch.outer(above, inputs)[None, None] / width
    with torch.no_grad():
        updates, _ = rule.update(grads, rule.init(params), params)
    return float((updates["hidden"][0, 0] @ inputs).square().mean().sqrt())


def test_a_hidden_layer_changes_its_outputs_as_much_at_any_width() -> None:
    """Without the parametrisation they change in proportion to the width: here by 32 times."""
    growth = {
        name: change_of_outputs(name, 1024) / change_of_outputs(name, 32) for name in ("mu-adafac-mlp", "adafac-mlp")
    }
    assert 0.5 < growth["mu-adafac-mlp"] < 2
    assert growth["adafac-mlp"] > 16
