"""A `ModuleTask` is what a plain loop of PyTorch computes: losses, buffers, held-out metrics, and dropout."""

import copy
import gc
import multiprocessing
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from l2obench.bench.rollout.loop import Trajectories, rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import advance, start
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.module import ModuleTask, make_module_task
from l2obench.tasks.modules.batches import BadModule
from l2obench.tasks.modules.batching import FEW, LARGE, LARGE_IMAGES, Batching
from tests.tasks.modules.models import (
    BranchingTask,
    DictTask,
    FrozenTask,
    FunctionTask,
    LoaderTask,
    Recurrent,
    RecurrentTask,
    Residual,
    ResidualTask,
    images,
    sentences,
)

STEPS = 10
MANY = list(range(FEW))


def minibatches(task: ModuleTask, seed: int) -> list[Any]:
    """The minibatches that a seed meets, as the user has them."""
    problems = Problems(task, [seed])
    structure = None
    found = []
    for _ in range(STEPS + 1):
        batch = problems.minibatch()
        structure = task._workshop().training.structure
        assert structure is not None
        found.append(structure.nested({name: value[0] for name, value in batch.items()}))
    return found


def started(task: ModuleTask, model: nn.Module, seed: int) -> nn.Module:
    """A model where a seed begins."""
    problem = task.sample(torch.Generator().manual_seed(seed))
    found = model.load_state_dict({**problem.params, **problem.buffers}, strict=False)
    assert not found.unexpected_keys
    return model


def plain_loop(task: ModuleTask, model: nn.Module, seed: int, lr: float) -> tuple[Tensor, nn.Module]:
    """The loop that everyone writes: losses at θ_0 … θ_T, and the trained model."""
    model = started(task, model, seed)
    optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad], lr=lr)
    losses = []
    for step, batch in enumerate(minibatches(task, seed)):
        optimizer.zero_grad()
        loss = task.batch_loss(model, batch)
        losses.append(loss.item())
        if step < STEPS:
            loss.backward()
            optimizer.step()
    return torch.tensor(losses), model


def final_buffers(task: ModuleTask, seeds: list[int], lr: float) -> dict[str, Tensor]:
    problems, rule = Problems(task, seeds), Adam(lr=lr)
    with torch.no_grad():
        carry = start(problems, rule)
        for _ in range(task.horizon):
            carry = advance(problems, rule, carry)
    return carry.buffers


@pytest.mark.parametrize("seeds", [[3], [3, *range(100, 99 + FEW)]], ids=["one by one", "together"])
def test_a_residual_network_with_batch_norm_is_a_plain_loop(seeds: list[int]) -> None:
    task = ResidualTask(horizon=STEPS, batch=16)
    assert task._workshop().batching().together(len(seeds), "cpu") == (len(seeds) > 1)
    found = rollout(task, Adam(lr=0.01), seeds)
    losses, model = plain_loop(task, Residual(), 3, 0.01)
    torch.testing.assert_close(found.losses[0, 0], losses, rtol=1e-5, atol=1e-5)
    carried = final_buffers(task, seeds, 0.01)
    for name, value in model.named_buffers():
        torch.testing.assert_close(carried[name][0, 0], value, rtol=1e-4, atol=1e-5)
    model.eval()
    with torch.no_grad():
        expected = task.heldout_metrics(model, task.heldout_data())
    assert found.heldout.keys() == expected.keys() == {"loss", "accuracy", "confidence"}
    for name, value in expected.items():
        torch.testing.assert_close(found.heldout[name][0, 0], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "model"),
    [(RecurrentTask(horizon=STEPS), Recurrent), (DictTask(horizon=STEPS), lambda: nn.Bilinear(4, 3, 1))],
    ids=["GRU, tied embedding", "dictionaries"],
)
def test_other_models_are_a_plain_loop(task: ModuleTask, model: Any) -> None:
    together, alone = rollout(task, Adam(lr=0.01), MANY), rollout(task, Adam(lr=0.01), [0])
    losses, _ = plain_loop(task, model(), 0, 0.01)
    torch.testing.assert_close(alone.losses[0, 0], losses, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.losses[0, 0], losses, rtol=1e-5, atol=1e-5)


def test_a_tied_tensor_is_one_parameter() -> None:
    params = RecurrentTask().sample(torch.Generator()).params
    assert "embedding.weight" in params
    assert "out.weight" not in params


def test_a_frozen_layer_stays_and_no_optimizer_sees_it() -> None:
    task = FrozenTask(horizon=STEPS, batch=16)
    problem = task.sample(torch.Generator().manual_seed(3))
    assert "first.weight" not in problem.params
    carried = final_buffers(task, [3, *MANY], 0.01)
    for name in ("first.weight", "norm.running_mean", "norm.running_var"):
        assert torch.equal(carried[name][0, 0], problem.buffers[name])
    assert not torch.equal(carried["second_norm.running_mean"][0, 0], problem.buffers["second_norm.running_mean"])
    frozen = Residual()
    frozen.first.requires_grad_(False)
    frozen.norm.eval()
    losses, _ = plain_loop(task, frozen, 3, 0.01)
    torch.testing.assert_close(rollout(task, Adam(lr=0.01), [3]).losses[0, 0], losses, rtol=1e-5, atol=1e-5)


def test_dropout_is_the_same_for_every_optimizer_setting_and_path() -> None:
    task = ResidualTask(dropout=0.5, horizon=4, batch=16)
    still, moving = SGD(lr=1e-30), Adam(lr=0.01)
    alone, together = rollout(task, still, [0]), rollout(task, still, MANY)
    torch.testing.assert_close(alone.losses[0], together.losses[0], rtol=1e-6, atol=1e-6)
    torch.manual_seed(99)
    torch.testing.assert_close(rollout(task, moving, [0]).losses[..., 0], alone.losses[..., 0])
    two = rollout(task, still.stacked({"lr": torch.zeros(1, 2)}), [0], 2).losses
    assert torch.equal(two[0, 0], two[0, 1])
    assert len(alone.losses[0, 0].unique()) == 5
    assert not torch.equal(alone.losses, rollout(ResidualTask(horizon=4, batch=16), still, [0]).losses)


def test_held_out_evaluation_draws_no_mask() -> None:
    task, rule = ResidualTask(dropout=0.5, horizon=3), SGD(lr=1e-30)
    once, again = rollout(task, rule, [0]).heldout, rollout(task, rule, [0]).heldout
    assert once == again
    model = started(task, Residual(), 0).eval()
    buffers = final_buffers(task, [0], 1e-30)
    model.load_state_dict({name: value[0, 0] for name, value in buffers.items()}, strict=False)
    with torch.no_grad():
        expected = task.heldout_metrics(model, task.heldout_data())
    torch.testing.assert_close(once["confidence"][0, 0], expected["confidence"])


class Noisy(nn.Module):
    """Noise of every kind that belongs to the seed and the step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand_like(x) + torch.randn(x.shape) + torch.rand(*x.shape, dtype=x.dtype) + torch.randn_like(x)
        return self.layer(x + noise + self.more(x))  # type: ignore[no-any-return]

    def more(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class NoisierTask(BranchingTask):
    def make_model(self) -> nn.Module:
        return Noisier()


class Noisier(Noisy):
    """Randomness of another kind stays with the global generator, one replica after the other."""

    def more(self, x: Tensor) -> Tensor:
        return torch.randint(3, x.shape)


class NoisyTask(BranchingTask):
    def make_model(self) -> nn.Module:
        return Noisy()


@pytest.mark.parametrize(("kind", "together"), [(NoisyTask, True), (NoisierTask, False)])
def test_noise_belongs_to_the_seed_and_step_as_well(kind: type[ModuleTask], together: bool) -> None:
    task, rule = kind(horizon=3), SGD(lr=1e-30)
    assert (task.runs_one_by_one() is None) == together
    assert together or "randomness" in str(task.runs_one_by_one())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = rollout(task, rule, MANY).losses
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    torch.testing.assert_close(rollout(task, rule, [0]).losses, first[:1])


def test_a_model_that_vmap_refuses_runs_one_by_one_and_says_why() -> None:
    task = BranchingTask(horizon=STEPS)
    assert "data-dependent control flow" in str(task.runs_one_by_one())
    found = rollout(task, Adam(lr=0.01), MANY).losses
    losses, _ = plain_loop(task, copy.deepcopy(task.make_model()), 2, 0.01)
    torch.testing.assert_close(found[2, 0], losses, rtol=1e-5, atol=1e-5)
    assert ResidualTask().runs_one_by_one() is None


@pytest.mark.parametrize(
    "loss", [functional.mse_loss, functional.huber_loss, functional.smooth_l1_loss, functional.l1_loss]
)
def test_losses_of_regression_run_together(loss: Any) -> None:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    task = make_module_task(
        loss.__name__,
        model=lambda: nn.Linear(3, 1),
        data=(x, x.sum(1, keepdim=True)),
        loss=lambda model, batch: loss(model(batch[0]), batch[1]),
        horizon=4,
    )
    assert task.runs_one_by_one() is None
    rates = Adam().stacked({"lr": torch.logspace(-3, -1, 4).unsqueeze(0)})
    together = rollout(task, rates, [0, 1], 4)
    for k, rate in enumerate(torch.logspace(-3, -1, 4).tolist()):
        alone = rollout(task, Adam(lr=rate), [0, 1])
        torch.testing.assert_close(together.losses[:, k : k + 1], alone.losses, rtol=1e-5, atol=1e-6)


def test_large_models_and_few_replicas_run_one_by_one() -> None:
    batching = ResidualTask()._workshop().batching()
    assert batching.flops < LARGE
    assert not batching.together(FEW - 1, "cpu")
    assert batching.together(FEW, "cpu")


def test_convolutional_models_with_many_images_run_one_by_one_on_a_processor() -> None:
    found = Batching(refused=None, flops=1_000_000, saved_bytes=LARGE_IMAGES, convolutional=True)
    assert ResidualTask()._workshop().batching().convolutional
    assert found.together(100, "cpu")
    larger = replace(found, saved_bytes=LARGE_IMAGES + 1)
    assert not larger.together(100, "cpu")
    assert larger.together(100, "cuda")
    assert replace(larger, convolutional=False).together(100, "cpu")


@pytest.mark.parametrize("flattens", [False, True])
def test_large_convolutional_models_run_with_channels_last_unless_that_breaks_them(flattens: bool) -> None:
    """A `view` that joins channels and pixels asks for images with channels first."""

    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(len(x), -1).view(len(x), 32, -1).mean(2) if flattens else x.mean((2, 3))

    def model() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.Conv2d(32, 32, 5, 2), Flat())

    random = torch.Generator().manual_seed(0)
    task = make_module_task(
        "large",
        model=model,
        data=(torch.randn(8, 3, 64, 64, generator=random), torch.randint(32, (8,), generator=random)),
        loss=lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1]),
        batch=4,
        horizon=STEPS,
    )
    assert task._workshop().batching().channels_last is not flattens
    plain, _ = plain_loop(task, model(), 5, 1e-3)
    found = rollout(task, Adam(lr=1e-3), [5])
    torch.testing.assert_close(found.losses[0, 0], plain, rtol=1e-5, atol=1e-5)
    problems = Problems(task, [5])
    _, grads, _ = task.loss_grad_and_buffers(
        {name: value.unsqueeze(1) for name, value in problems.start.items()}, {}, problems.minibatch()
    )
    assert all(grad.is_contiguous() for grad in grads.values())


@pytest.mark.parametrize("task", [LoaderTask(workers=0, horizon=9), LoaderTask(workers=2, horizon=9)], ids=["0", "2"])
def test_a_loaders_minibatches_belong_to_the_seed(task: ModuleTask) -> None:
    together = rollout(task, SGD(lr=0.01), [0, 1])
    torch.manual_seed(5)
    alone = rollout(task, SGD(lr=0.01), [1])
    torch.testing.assert_close(together.losses[1], alone.losses[0])
    assert not torch.equal(together.losses[0], together.losses[1])


def test_workers_of_a_loader_change_nothing() -> None:
    without, with_two = (rollout(LoaderTask(workers=count, horizon=9), SGD(lr=0.01), [0]).losses for count in (0, 2))
    torch.testing.assert_close(without, with_two)


def test_the_workers_of_a_loader_end_with_the_rollout() -> None:
    gc.disable()  # nothing waits for it
    try:
        rollout(LoaderTask(workers=2, horizon=3), SGD(lr=0.01), [0, 1])
        assert not multiprocessing.active_children()
    finally:
        gc.enable()


def test_an_epoch_of_a_loader_meets_every_example_once() -> None:
    seen = torch.cat([batch[0] for batch in minibatches(LoaderTask(), 0)[:4]])
    expected, _ = images()
    assert torch.equal(seen.flatten(1).sum(1).sort()[0], expected.flatten(1).sum(1).sort()[0])


def test_minibatches_from_a_function_go_on_with_the_next_epoch() -> None:
    task = FunctionTask()
    first, second = minibatches(task, 0), minibatches(task, 0)
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first[0][0], first[2][0])
    assert not torch.equal(first[1][0], first[3][0])
    assert not torch.equal(first[0][0], minibatches(task, 1)[0][0])


def test_a_task_made_in_python_is_the_same_task() -> None:
    def loss(model: Any, batch: Any) -> Tensor:
        return functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    made = make_module_task("mine", model=Recurrent, data=sentences(), loss=loss, horizon=3)
    torch.testing.assert_close(rollout(made, SGD(), [0]).losses, rollout(RecurrentTask(horizon=3), SGD(), [0]).losses)
    fixed = make_module_task("fixed", model=Recurrent(), data=sentences(), loss=loss, heldout=sentences(), horizon=3)
    found: Trajectories = rollout(fixed, SGD(lr=1e-30), [0, 1])
    assert torch.equal(found.heldout["loss"][0], found.heldout["loss"][1])


def test_the_horizon_changes_no_function_and_parameters_do() -> None:
    one, other = ResidualTask(horizon=3), ResidualTask(horizon=5)
    assert one._workshop() is other._workshop()
    assert ResidualTask(dropout=0.5)._workshop() is not one._workshop()


def test_settings_of_a_seed_have_their_own_buffers() -> None:
    task, rates = ResidualTask(horizon=5), [0.001, 0.01, 0.1]
    together = rollout(task, Adam().stacked({"lr": torch.tensor([rates])}), [0], 3)
    for k, rate in enumerate(rates):
        alone = rollout(task, Adam(lr=rate), [0])
        torch.testing.assert_close(together.losses[:, k : k + 1], alone.losses, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.heldout["loss"][:, k : k + 1], alone.heldout["loss"], rtol=1e-4, atol=1e-5)


class Clamping(nn.Module):
    """Writes into its parameter while it is evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[3.0, -3.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data.clamp_(-1, 1)
        return x @ self.weight.mT


class ClampingTask(BranchingTask):
    def make_model(self) -> nn.Module:
        return Clamping()


def test_a_model_that_writes_into_its_parameters_is_refused() -> None:
    with pytest.raises(BadModule, match="must not write into its parameters"):
        rollout(ClampingTask(horizon=2), SGD(), [0])


class InPlace(BranchingTask):
    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        return super().batch_loss(model, (batch[0].sub_(1), batch[1]))


def test_a_loss_that_writes_into_its_minibatch_is_refused() -> None:
    with pytest.raises(BadModule, match="must not change its minibatch in place"):
        rollout(InPlace(horizon=2), SGD(), [0])
