"""Training with compiled steps: the numbers of torch's path up to rounding, and what it does not fit."""

import sys
from typing import Any

import pytest
import torch

from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.optimizers.learned.fused.step import PACKAGE

SMALL: dict[str, Any] = {
    "task": "quadratic[dim=3,horizon=10]",
    "optimizer": "lstm[hidden=6]",
    "estimator": "pes",
    "functions": 2,
    "unroll": 5,
    "pairs": 2,
    "trajectories": 1,
    "validation_functions": 4,
}


@pytest.mark.parametrize("estimator", ["es", "pes", "nres", "full-es"])
def test_a_trajectory_equals_that_of_torch(estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    from l2obench.optimizers.learned.fused import cells

    step, calls = cells.step_cells, []
    monkeypatch.setattr(cells, "step_cells", lambda *given: [calls.append(len(given[0])), step(*given)])
    found = []
    for fused in (False, True):
        assert not calls
        trainer = Trainer(make_recipe(SMALL | {"estimator": estimator, "fused": fused}))
        found.append(trainer.run_trajectory(trainer.begin()))
    # Each of the four perturbed replicas of `es`, and φ itself, is stepped by itself; the others in one stack.
    training, validation = (5 * [1], [1]) if estimator == "es" else ([4], [1])
    assert calls == 10 * training + 10 * validation
    plain, compiled = found
    assert plain.log[0]["gradient_norm"] > 0
    # Adam's first steps are of the size of the rate, whatever the gradient: rounding may show in small ones.
    torch.testing.assert_close(dict(compiled.phi), dict(plain.phi), rtol=1e-3, atol=1e-4)
    for column in ("meta_loss", "final_loss", "gradient_norm", "validation"):
        assert compiled.log[0][column] == pytest.approx(plain.log[0][column], rel=1e-3)


@pytest.mark.parametrize("estimator", ["tbptt", "full"])
def test_backpropagation_has_no_fused_step(estimator: str) -> None:
    with pytest.raises(RecipeError, match=f"estimator must be es, pes, nres or full-es with fused, got {estimator}"):
        make_recipe(SMALL | {"estimator": estimator, "fused": True})


def test_what_cannot_be_fused_is_refused() -> None:
    recipe = make_recipe(SMALL | {"fused": True})
    with pytest.raises(RecipeError, match="device must be cpu with fused, got cuda"):
        Trainer(recipe, device="cuda")
    with pytest.raises(RecipeError, match="fused must be left out for mlp, which has no fused step"):
        Trainer(recipe.model_copy(update={"optimizer": "mlp[hidden=2]"}))


def test_without_numba_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs numba, which is not installed\. Try: pip install 'numba"):
        Trainer(make_recipe(SMALL | {"fused": True}))
