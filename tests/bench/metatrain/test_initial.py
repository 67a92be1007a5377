"""The meta-parameters that a training begins with, and memories of LSTM cells among them."""

from pathlib import Path

import pytest
import torch

from l2obench.bench.config.recipe import RecipeError, make_recipe, named_recipe
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.metatrain.initial_meta_parameters import make_initial, memory_biases
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from l2obench.optimizers.learned.lstm import LSTM

LONGEST = 200


def begun(rule: str, **recipe: object) -> dict[str, torch.Tensor]:
    made = optimizer_registry().create(rule)
    assert isinstance(made, LearnedOptimizer)
    return make_initial(make_recipe({"task": "quadratic", "optimizer": rule} | recipe), made, generator())


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_cell_left_alone_forgets_at_its_time_scale() -> None:
    """Content decays as (τ/(1 + τ))ᵗ, with time scales spread over all of their logarithms."""
    input_, forget, output, drift = memory_biases(torch.full((4 * 5000,), 7.0), LONGEST, generator()).chunk(4)
    kept = forget.sigmoid().double()
    timescales = kept / (1 - kept)
    assert timescales.min() >= 1 - 1e-4
    assert timescales.max() <= (LONGEST - 1) * (1 + 1e-4)
    torch.testing.assert_close(input_.sigmoid().double(), 1 / (1 + timescales), rtol=1e-4, atol=0)
    median = (LONGEST - 1) ** 0.5
    assert float((timescales < median).double().mean()) == pytest.approx(0.5, abs=0.03)
    assert output.eq(7).all()
    assert drift.abs().max() <= 1
    assert float(drift.square().mean()) == pytest.approx(1 / 3, abs=0.02)


def test_cells_that_see_nothing_tell_the_time() -> None:
    """From the contents after t steps without a gradient, t is found by a linear map to within a few steps."""
    rule = optimizer_registry().create("lstm")
    assert isinstance(rule, LSTM)
    rule = rule.with_meta_parameters(begun("lstm", memory=LONGEST))
    param = torch.zeros(1, 1, 1)
    state, seen = rule.init_tensor(param), []
    for _ in range(LONGEST):
        _, state = rule.update_tensor(param, state, param)
        seen.append(state["cell"].flatten())
    contents = torch.stack(seen).double()
    time = torch.arange(LONGEST, dtype=torch.float64).unsqueeze(1)
    features = torch.cat([contents, torch.ones_like(time)], dim=1)
    found = features @ torch.linalg.lstsq(features, time, driver="gelsd", rcond=1e-4).solution
    assert float((found - time).abs().max()) < 0.05 * LONGEST


@pytest.mark.parametrize("rule", ["lstm[networks=conv-fc]", "rnnprop", "gac"])
def test_all_layers_of_cells_remember_and_nothing_else_changes(rule: str) -> None:
    plain, long = begun(rule), begun(rule, memory=LONGEST)
    changed = {name for name in plain if not torch.equal(plain[name], long[name])}
    assert changed == {name for name in plain if "lstm" in name and name.endswith("bias")}
    assert len(changed) >= 2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("mlp", "memory must be left out for mlp, which has no LSTM cells, got 200"),
        ("lstm[checkpoint=quadratic]", "memory must be left out with a checkpoint, got 200"),
    ],
)
def test_rules_without_cells_and_trained_ones_are_refused_before_a_folder_is_made(
    tmp_path: Path, rule: str, message: str
) -> None:
    recipe = make_recipe({"task": "quadratic", "optimizer": rule, "memory": LONGEST})
    with pytest.raises(RecipeError, match=message):
        Session(tmp_path / "training", recipe)
    assert not (tmp_path / "training").exists()


def test_a_memory_of_two_steps_is_none() -> None:
    with pytest.raises(RecipeError, match="memory"):
        begun("lstm", memory=2)


def test_the_untrained_checkpoint_is_what_the_recipe_of_general_begins_with() -> None:
    begun = Trainer(make_recipe(named_recipe("general") | {"fused": True})).begin().phi
    kept = read_checkpoint("general-trainings/untrained")
    assert dict(kept.recipe) == {}
    assert kept.hyperparameters == read_checkpoint("general").hyperparameters
    assert kept.tensors.keys() == begun.keys()
    assert all(torch.equal(kept.tensors[name], value) for name, value in begun.items())
