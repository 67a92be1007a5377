"""Learned weights along the trajectory: the scales go to the mean losses, and survive a kill."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.metatrain import loss_scales
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from tests.bench.metatrain.test_training import SMALL, same

LEARNED = SMALL | {"weighting": "learned"}


def test_all_steps_count_alike_at_first() -> None:
    torch.testing.assert_close(loss_scales.weights_of_scales(loss_scales.initial_scales("cpu"), 40), torch.ones(40))


def test_scales_go_to_the_losses() -> None:
    """Where ∂J/∂s_t = 1/s_t − f_t/s_t² is zero."""
    losses = torch.logspace(1, -2, 100)  # a line in log s, as the scales are
    scales = loss_scales.initial_scales("cpu")
    for trajectory in range(400):
        scales = loss_scales.update_scales(scales, losses, trajectory)
    weights = loss_scales.weights_of_scales(scales, 100)
    torch.testing.assert_close(weights, (1 / losses) / (1 / losses).mean(), rtol=0.05, atol=0)
    assert loss_scales.weights_at_points(scales) == sorted(loss_scales.weights_at_points(scales))


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.integers(0, 1000))
def test_the_first_step_is_down_the_slope_and_weights_stay_weights(losses: list[float], trajectory: int) -> None:
    """Adam's first step is its rate times the sign of the slope, which is 1 − f at s = 1."""
    before = loss_scales.initial_scales("cpu")
    after = loss_scales.update_scales(before, torch.tensor(losses), 0)
    if len({loss > 1.01 for loss in losses}) == 1 and not any(0.99 < loss <= 1.01 for loss in losses):
        reached = after["log_scale"][after["log_scale"] != 0]
        assert (reached.sign() == math.copysign(1, losses[0] - 1)).all()
        torch.testing.assert_close(reached.abs(), torch.full_like(reached, loss_scales.LR), rtol=1e-3, atol=0)
    weights = loss_scales.weights_of_scales(loss_scales.update_scales(after, torch.tensor(losses), trajectory), 17)
    assert (weights > 0).all()
    assert float(weights.mean()) == pytest.approx(1, rel=1e-5)


def test_a_function_that_diverged_teaches_them_nothing() -> None:
    losses = torch.tensor([[0.5, torch.nan, torch.inf], [0.5, 1.0, 1.0]])  # the scales' own values in place of the two
    diverged, fitting = (loss_scales.update_scales(loss_scales.initial_scales("cpu"), each, 0) for each in losses)
    assert same(diverged, fitting)


def test_a_trajectory_is_weighed_by_what_was_learned_before_it(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(LEARNED))
    session.run()
    scales = session.progress.scales
    assert set(scales) == set(loss_scales.SHAPES)
    segments = session.trainer.trajectories.segments(11, scales)
    torch.testing.assert_close(torch.cat(segments), loss_scales.weights_of_scales(scales, 20))
    assert [len(weights) for weights in segments] == [10, 10]
    recipe = read_checkpoint(str(tmp_path / "checkpoint.safetensors")).recipe
    assert recipe["weighting"] == "learned"
    assert recipe["learned_weights"] == pytest.approx(loss_scales.weights_at_points(scales))
    assert recipe["learned_weights"][0] < recipe["learned_weights"][-1], "losses fall, so later steps count more"


def test_they_change_what_is_learned(tmp_path: Path) -> None:
    sessions = [Session(tmp_path / name, make_recipe(SMALL | {"weighting": name})) for name in ("learned", "uniform")]
    for session in sessions:
        session.run()
    assert not same(sessions[0].progress.phi, sessions[1].progress.phi)
    assert sessions[1].progress.scales == {}


def test_stopped_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    undisturbed = Session(tmp_path / "one", make_recipe(LEARNED))
    undisturbed.run()
    stopped = Session(tmp_path / "two", make_recipe(LEARNED))
    while stopped.progress.trajectory < 7:
        stopped.progress = stopped.trainer.run_trajectory(stopped.progress)
    stopped.save()
    resumed = Session(tmp_path / "two", make_recipe(LEARNED))
    assert resumed.progress.trajectory == 7
    resumed.run()
    assert same(resumed.progress.phi, undisturbed.progress.phi)
    assert same(resumed.progress.scales, undisturbed.progress.scales)


def test_another_objective_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^recipe: objective must be loss with weighting=learned, got log-ratio"):
        make_recipe(LEARNED | {"objective": "log-ratio"})


def test_losses_without_a_scale_are_refused() -> None:
    with pytest.raises(RecipeError, match="weighting=learned needs mean losses above zero, got -1 on this task"):
        loss_scales.update_scales(loss_scales.initial_scales("cpu"), torch.tensor([2.0, -1.0]), 0)


def test_trajectories_that_grow_are_weighed_at_every_length() -> None:
    recipe = make_recipe(LEARNED | {"task": "quadratic[dim=3,horizon=40]", "first_horizon": 10})
    trainer = Trainer(recipe)
    progress = trainer.begin()
    for _ in range(3):
        progress = trainer.run_trajectory(progress)
    assert (
        len(trainer.trajectories.weights(1, progress.scales))
        < len(trainer.trajectories.weights(6, progress.scales))
        == 40
    )
