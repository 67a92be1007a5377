"""Estimators of the meta-gradient: those without bias have none, the others have theirs; variance falls as 1/pairs."""

import pytest
import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.metatrain.estimators import make_estimator
from l2obench.bench.metatrain.estimators.base import Estimator
from l2obench.bench.metatrain.estimators.bptt import BPTT
from l2obench.bench.metatrain.estimators.es import ES
from l2obench.bench.metatrain.estimators.nres import NRES
from l2obench.bench.metatrain.estimators.pes import PES
from l2obench.bench.metatrain.estimators.second_order import SecondOrderBPTT
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.studies.known import Bowl, LearnedRate, true_meta_gradient
from l2obench.optimizers.base import State
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Tensors
from l2obench.tasks.quadratic import Quadratic

DOUBLE = torch.float64
STEPS, UNROLL, LOG_RATE = 12, 3, -1.0
WEIGHTS = torch.ones(STEPS, dtype=DOUBLE)
RULE = LearnedRate().with_meta_parameters({"log_rate": torch.tensor(LOG_RATE, dtype=DOUBLE)})
SMALL = {
    "task": "quadratic[dim=3,horizon=20]",
    "optimizer": "lstm[hidden=6,output_scale=1,preprocessing=none]",
    "functions": 4,
    "unroll": 10,
    "trajectories": 3,
    "validate_every": 2,
    "validation_functions": 8,
    "lr": 0.01,
    "pairs": 2,
}


def functions() -> Problems:
    return Problems(Bowl(), [1, 2, 3], dtype=DOUBLE)


def truth() -> float:
    return float(true_meta_gradient(functions().minibatch()["h"][:, 0], LOG_RATE, WEIGHTS))


def estimated(estimator: Estimator, seed: int = 0, unroll: int = UNROLL, rule: LearnedRate = RULE) -> float:
    """The sum of the estimates of a trajectory's segments, φ being the same in all of them."""
    problems, random = functions(), torch.Generator().manual_seed(seed)
    unroll_state = estimator.begin(problems, rule, random)
    total = 0.0
    for weights in WEIGHTS.split(STEPS if estimator.whole else unroll):
        estimate = estimator.advance(problems, rule, unroll_state, weights, random)
        unroll_state = estimate.unroll_state
        total += float(estimate.meta_grads["log_rate"])
    return total


def sampled(estimator: Estimator, repeats: int, unroll: int = UNROLL) -> Tensor:
    """Independent estimates, `[repeats]`."""
    return torch.tensor([estimated(estimator, seed, unroll) for seed in range(repeats)], dtype=DOUBLE)


def standard_errors_off(samples: Tensor, expected: float) -> float:
    """z of the mean; that a third of `expected` would show is part of the claim."""
    error = float(samples.std()) / len(samples) ** 0.5
    assert error < 0.15 * abs(expected)
    return abs(float(samples.mean()) - expected) / error


def test_exact_backpropagation_is_the_known_derivative() -> None:
    assert truth() < -0.5
    assert estimated(SecondOrderBPTT(whole=True)) == pytest.approx(truth(), rel=1e-12)


@pytest.mark.parametrize("estimator", [PES(pairs=40), NRES(pairs=40)], ids=["pes", "nres"])
def test_persistent_and_noise_reuse_are_unbiased_over_truncations(estimator: Estimator) -> None:
    assert standard_errors_off(sampled(estimator, 12), truth()) < 2.5


def test_evolution_strategies_are_biased_by_the_truncation_alone() -> None:
    """Their mean is the derivative of each segment from where it begins; without a truncation that is the truth."""
    begun = torch.arange(STEPS) // UNROLL * UNROLL
    h = functions().minibatch()["h"]
    shrinks = 1 - h * torch.tensor(LOG_RATE, dtype=DOUBLE).exp()
    t = torch.arange(1, STEPS + 1) - begun
    slopes = -h.square() * (1 - shrinks) / h * t * shrinks ** (2 * t - 1) * shrinks ** (2 * begun)
    of_segments = float(slopes.sum(1).mean())
    assert of_segments / truth() < 0.7
    truncated = sampled(ES(pairs=40), 12)
    assert standard_errors_off(truncated, of_segments) < 2.5
    assert standard_errors_off(truncated, truth()) > 3
    assert standard_errors_off(sampled(ES(pairs=40), 12, unroll=STEPS), truth()) < 2.5


def test_backpropagation_without_second_derivatives_is_biased_by_what_it_drops() -> None:
    """θ_t = θ_0 − α Σ_s g_s with every g_s constant: df(θ_t)/dφ = −α h θ_t · Σ_{s<t} h θ_s.

    On this family the two biases have opposite signs: short truncations give too little, long ones too much.
    """
    h = functions().minibatch()["h"]
    alpha = torch.tensor(LOG_RATE, dtype=DOUBLE).exp()
    theta = (1 - alpha * h) ** torch.arange(STEPS + 1)

    def first_order(unroll: int) -> float:
        total = torch.zeros(3, dtype=DOUBLE)
        for t in range(1, STEPS + 1):
            begun = (t - 1) // unroll * unroll
            total -= alpha * h[:, 0] * theta[:, t] * (h * theta[:, begun:t]).sum(1)
        return float(total.mean())

    assert estimated(BPTT()) == pytest.approx(first_order(UNROLL), rel=1e-12)
    assert estimated(BPTT(whole=True)) == pytest.approx(first_order(STEPS), rel=1e-12)
    assert first_order(1) / truth() < 0.5
    assert first_order(STEPS) / truth() > 1.5


@pytest.mark.parametrize("cls", [ES, PES, NRES])
def test_variance_falls_as_one_over_the_pairs(cls: type[ES] | type[PES] | type[NRES]) -> None:
    one, eight = (float(sampled(cls(pairs=pairs), 60).var()) for pairs in (1, 8))
    assert 3 < one / eight < 20


@pytest.mark.parametrize("name", ["es", "pes", "nres"])
def test_particles_agree_with_the_same_rule_run_alone(name: str) -> None:
    """Each particle's losses are those of an ordinary rollout at its φ."""
    rule = LSTM(hidden=4, preprocessing="none").initialised(twin(3))
    estimator = make_estimator(make_recipe(SMALL | {"estimator": name, "sigma": 0.3}))
    problems, random = Problems(Quadratic(dim=3), [1, 2]), torch.Generator().manual_seed(5)
    unroll_state = estimator.begin(problems, rule, random)
    found = estimator.advance(problems, rule, unroll_state, torch.ones(4), random).losses
    signs = {"es": [0.0]}.get(name, [0.3, 0.3, -0.3, -0.3])
    noise = drawn(rule, 5)
    for place, sign in enumerate(signs):
        phi = {key: value + sign * noise[key][place % 2] for key, value in rule.meta_parameters.items()}
        losses = rollout(Quadratic(dim=3, horizon=4), rule.with_meta_parameters(phi), [1, 2]).losses
        torch.testing.assert_close(found[:, place], losses[:, 0, 1:])


class OneByOne(LSTM):
    """The LSTM, called once for each perturbed replica: a subclass takes no stack."""


@pytest.mark.parametrize("estimator", [PES(pairs=3, sigma=0.3), NRES(pairs=3, sigma=0.3)], ids=["pes", "nres"])
def test_a_stack_of_perturbed_rules_is_each_of_them(estimator: Estimator) -> None:
    """In each of two segments: losses, parameters and meta-gradients."""
    found = []
    for kind in (LSTM, OneByOne):
        rule = kind(hidden=4).initialised(twin(3))
        problems, random = Problems(Quadratic(dim=3), [1, 2]), twin(5)
        unroll_state = estimator.begin(problems, rule, random)
        assert len(unroll_state.carry.state) == (1 if kind is LSTM else 6)
        for _ in range(2):
            estimate = estimator.advance(problems, rule, unroll_state, torch.ones(4), random)
            unroll_state = estimate.unroll_state
            found.append((estimate.losses, dict(unroll_state.carry.params), estimate.meta_grads))
    torch.testing.assert_close(found[:2], found[2:])


def twin(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(rule: LSTM, seed: int) -> Tensors:
    random = twin(seed)
    return {name: torch.randn(2, *value.shape, generator=random) for name, value in rule.meta_parameters.items()}


def test_a_diverged_particle_counts_for_nothing() -> None:
    estimator = NRES(pairs=2)
    problems, random = functions(), twin(0)
    unroll_state = estimator.begin(problems, RULE, random)
    unroll_state.carry.params["theta"][0, 1] = torch.nan
    unroll_state.carry.grads["theta"][0, 1] = torch.nan
    grad = estimator.advance(problems, RULE, unroll_state, WEIGHTS, random).meta_grads["log_rate"]
    assert grad.isfinite()
    assert grad != 0


@pytest.mark.parametrize("estimator", ["tbptt", "full", "es", "pes", "nres"])
def test_nothing_outlives_a_trajectory(estimator: str) -> None:
    """So a training that was stopped goes on exactly: a new trainer and the progress so far are all it takes."""
    recipe = make_recipe(SMALL | {"estimator": estimator})
    trainer = Trainer(recipe)
    undisturbed = trainer.run_trajectory(trainer.run_trajectory(trainer.begin()))
    resumed = Trainer(recipe).run_trajectory(Trainer(recipe).run_trajectory(Trainer(recipe).begin()))
    assert undisturbed.meta_steps == resumed.meta_steps > 0
    for name, value in undisturbed.phi.items():
        assert torch.equal(resumed.phi[name], value)
    assert resumed.best_validation == undisturbed.best_validation < float("inf")


@pytest.mark.parametrize(("estimator", "meta_steps"), [("tbptt", 2), ("full", 1), ("nres", 2)])
def test_meta_steps_of_a_trajectory(estimator: str, meta_steps: int) -> None:
    trainer = Trainer(make_recipe(SMALL | {"estimator": estimator}))
    progress = trainer.run_trajectory(trainer.begin())
    assert progress.meta_steps == meta_steps
    assert progress.log[0]["meta_loss"] > 0


@pytest.mark.parametrize("estimator", ["full", "nres"])
def test_it_learns(estimator: str) -> None:
    values = {
        "task": "l2obench.bench.studies.known.Bowl[horizon=20]",
        "optimizer": "l2obench.bench.studies.known.LearnedRate",
    }
    trainer = Trainer(
        make_recipe(SMALL | values | {"estimator": estimator, "trajectories": 10, "lr": 0.3, "second_order": True})
    )
    progress = trainer.begin()
    before = trainer.validate(progress.phi)
    for _ in range(10):
        progress = trainer.run_trajectory(progress)
    assert progress.best_validation < 0.5 * before


class SignOnly(LearnedRate):
    """A rule through which no derivative passes."""

    name = "sign-only"

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        return -grad.sign() * self.meta_parameters["log_rate"].detach().exp(), state


@pytest.mark.parametrize(
    "estimator", [BPTT(), BPTT(whole=True), SecondOrderBPTT(whole=True)], ids=["tbptt", "full", "second order"]
)
def test_a_rule_without_derivatives_is_told_what_can_train_it(estimator: Estimator) -> None:
    rule = SignOnly().with_meta_parameters(RULE.meta_parameters)
    with pytest.raises(
        RecipeError, match=r"sign-only cannot be trained by backpropagation.*log_rate\. Try: --estimator es"
    ):
        estimated(estimator, rule=rule)
    assert estimated(NRES(), rule=rule) != 0
