"""The meta-gradient is that of the kept graph with the optimizee's gradients detached; sampling leaves it unbiased."""

import pytest
import torch

from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.weighting import step_weights
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.optimizers.base import State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.gac import GAC
from l2obench.optimizers.learned.learned_adam import LearnedAdam
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.optimizers.learned.mlp import MLP
from l2obench.optimizers.learned.ntm_bfgs import NTMBFGS
from l2obench.optimizers.learned.rnnprop import RNNprop
from l2obench.tasks.base import Task, Tensors
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic

DOUBLE = torch.float64
CASES: list[tuple[Task, LSTM]] = [
    (Quadratic(dim=4), LSTM(hidden=5, preprocessing="none", output_scale=1)),
    (MnistMlp(units=3, batch=4), LSTM(hidden=4)),
    (MnistMlp(units=3, batch=4, activation="relu"), LSTM(hidden=4, preprocessing="log-linear")),
]


NAMES = ["quadratic", "mnist", "mnist-relu"]
OTHERS: list[tuple[Task, LearnedOptimizer]] = [
    (Quadratic(dim=4), GAC(hidden=5, averaging=2, preprocessing="none", output_scale=1)),
    (MnistMlp(units=3, batch=4), NTMBFGS(hidden=4, averaging=2, memory=3)),
    (MnistMlp(units=3, batch=4), RNNprop(hidden=4)),
    (MnistMlp(units=3, batch=4), MLP(hidden=4, step_size=0.1)),
    (MnistMlp(units=3, batch=4), LearnedAdam()),
]


def trained(rule: LearnedOptimizer) -> LearnedOptimizer:
    random = rule.initialised(torch.Generator().manual_seed(1)).meta_parameters
    return rule.with_meta_parameters({name: value.to(DOUBLE) for name, value in random.items()})


def kept_graph(problems: Problems, rule: LearnedOptimizer, weights: torch.Tensor) -> Tensors:
    """Autograd through Σ w_t f(θ_t) with the graph kept, ∇f detached: the paper's own recipe, one task at a time."""
    phi = {name: value.clone().requires_grad_() for name, value in rule.meta_parameters.items()}
    learner = rule.with_meta_parameters(phi)
    task = problems.task
    theta = {name: value.unsqueeze(1) for name, value in problems.start.items()}
    state = learner.init(theta)
    batch = problems.minibatch()
    total = torch.zeros((), dtype=DOUBLE)

    def losses_at(params: Tensors) -> torch.Tensor:
        per_seed = [
            task.loss({n: v[s, 0] for n, v in params.items()}, {n: v[s] for n, v in batch.items()})
            for s in range(len(params[next(iter(params))]))
        ]
        return torch.stack(per_seed)

    for weight in weights:
        detached = {name: value.detach().requires_grad_() for name, value in theta.items()}
        grads = torch.autograd.grad(losses_at(detached).sum(), list(detached.values()))
        updates, state = learner.update(dict(zip(detached, grads, strict=True)), state, theta)
        theta = {name: value + updates[name] for name, value in theta.items()}
        batch = problems.minibatch()
        total = total + weight * losses_at(theta).mean()
    return dict(zip(phi, torch.autograd.grad(total, list(phi.values())), strict=True))


@pytest.mark.parametrize(
    ("task", "rule", "coordinates"),
    [*((*case, None) for case in [*CASES, *OTHERS]), *((*case, 10**6) for case in [*CASES, OTHERS[2]])],
    ids=[*NAMES, *(rule.name for _, rule in OTHERS), *(f"{name}, sampled all" for name in [*NAMES, "rnnprop"])],
)
def test_meta_gradient_equals_the_kept_graph(task: Task, rule: LearnedOptimizer, coordinates: int | None) -> None:
    rule = trained(rule)
    weights = torch.linspace(0.5, 2, 7, dtype=DOUBLE)
    expected = kept_graph(Problems(task, [1, 2, 3], dtype=DOUBLE), rule, weights)
    problems = Problems(task, [1, 2, 3], dtype=DOUBLE)
    with torch.no_grad():
        carry = start(problems, rule)
    found = truncated_bptt(problems, rule, carry, weights, coordinates, torch.Generator()).meta_grads
    assert max(float(value.abs().max()) for value in expected.values()) > 1e-4
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-9)


def test_sampled_coordinates_are_unbiased() -> None:
    """The mean over many samples approaches the full meta-gradient like the root of their number."""
    task, rule = CASES[1]
    rule, weights = trained(rule), torch.ones(3, dtype=DOUBLE)

    def meta_gradient(coordinates: int | None, seed: int) -> torch.Tensor:
        problems = Problems(task, [1], dtype=DOUBLE)
        with torch.no_grad():
            carry = start(problems, rule)
        random = torch.Generator().manual_seed(seed)
        grads = truncated_bptt(problems, rule, carry, weights, coordinates, random).meta_grads
        return torch.cat([value.flatten() for value in grads.values()])

    full = meta_gradient(None, 0)
    samples = torch.stack([meta_gradient(150, seed) for seed in range(200)])
    error = (samples.mean(0) - full).norm()
    spread = samples.std(0).norm() / 200**0.5
    assert spread < 0.3 * full.norm()
    assert error < 2 * spread


def test_truncation_carries_state_and_parameters() -> None:
    """Two segments of five steps follow the same trajectory as one of ten."""
    task, rule = CASES[0]
    rule = trained(rule)
    ends = []
    for parts in ([10], [5, 5]):
        problems = Problems(task, [1, 2], dtype=DOUBLE)
        with torch.no_grad():
            carry = start(problems, rule)
        for steps in parts:
            carry = truncated_bptt(problems, rule, carry, torch.ones(steps, dtype=DOUBLE)).carry
        ends.append(carry)
    torch.testing.assert_close(ends[0].params["theta"], ends[1].params["theta"])
    assert ends[0].step == ends[1].step == 10


def test_a_diverged_replica_counts_for_nothing() -> None:
    task, rule = CASES[0]
    rule = trained(rule)
    problems = Problems(task, [1, 2], dtype=DOUBLE)
    with torch.no_grad():
        carry = start(problems, rule)
    carry.params["theta"][1] = float("nan")
    carry.grads["theta"][1] = float("nan")
    grads = truncated_bptt(problems, rule, carry, torch.ones(4, dtype=DOUBLE)).meta_grads
    assert all(value.isfinite().all() for value in grads.values())
    assert any(value.abs().max() > 0 for value in grads.values())


class Shared(LearnedOptimizer):
    """Moves every coordinate by the mean gradient: not coordinatewise."""

    name = "shared"
    architecture = ()

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"rate": (1,)}

    def random_network(self, generator: torch.Generator) -> Tensors:
        return {"rate": torch.ones(1, dtype=DOUBLE)}

    def init(self, params: Tensors) -> State:
        return {}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        rate = self.meta_parameters["rate"]
        return {name: -rate * value.mean(-1, keepdim=True).expand_as(value) for name, value in grads.items()}, state


def test_rules_that_share_between_coordinates_train_whole_and_refuse_sampling() -> None:
    rule = Shared().initialised(torch.Generator())
    problems = Problems(CASES[0][0], [1], dtype=DOUBLE)
    with torch.no_grad():
        carry = start(problems, rule)
    assert truncated_bptt(problems, rule, carry, torch.ones(2, dtype=DOUBLE)).meta_grads["rate"].isfinite().all()
    with pytest.raises(ValueError, match="coordinatewise"):
        truncated_bptt(problems, rule, carry, torch.ones(2, dtype=DOUBLE), coordinates=3)


@pytest.mark.parametrize("weighting", ["uniform", "linear", "final"])
def test_weights_have_mean_one(weighting: str) -> None:
    weights = step_weights(weighting, 40)  # type: ignore[arg-type]
    assert float(weights.mean()) == pytest.approx(1)
    if weighting == "linear":
        assert float(weights[39] / weights[0]) == pytest.approx(40)
    if weighting == "final":
        assert weights.nonzero().tolist() == [[39]]
