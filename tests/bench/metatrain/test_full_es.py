"""Meta-steps over whole trajectories of several families, standardised differences, and the bounded objective."""

import math
from typing import Any

import pytest
import torch

from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.metatrain.estimators import make_estimator
from l2obench.bench.metatrain.estimators.objective import LossHistory, bounded_log_ratio
from l2obench.bench.metatrain.estimators.perturbed_replicas import finite_difference
from l2obench.bench.metatrain.family_costs import FamilyCosts
from l2obench.bench.metatrain.problem_scaling import ScaledProblems, _displacements
from l2obench.bench.metatrain.process_group import ProcessGroup
from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.controller import Controller
from l2obench.tasks.perceptron import Perceptron
from l2obench.tasks.quadratic import Quadratic

VALUES: dict[str, Any] = {
    "task": "quadratic[dim=2]",
    "mixture": ["quadratic[dim=2|3|4]", "regression[units=3,layers=1,points=8,batch=2]"],
    "validation": ["quadratic[dim=2,horizon=5]"],
    "optimizer": "controller[hidden=2]",
    "estimator": "full-es",
    "families": 4,
    "functions": 1,
    "unroll": 1,
    "min_horizon": 4,
    "max_horizon": 9,
    "pairs": 3,
    "sigma": 0.05,
    "standardise": True,
    "objective": "bounded-log-ratio",
    "trajectories": 6,
    "validate_every": 6,
    "validation_functions": 4,
    "clip": 10.0,
}


def test_a_meta_step_has_several_families_and_one_horizon() -> None:
    trajectories = Trainer(make_recipe(VALUES)).trajectories
    horizons, names = [], set()
    for step in range(40):
        families = [trajectories.family(4 * step + k) for k in range(4)]
        assert len({family.task.horizon for family in families}) == 1
        horizons.append(families[0].task.horizon)
        names |= {family.task.name for family in families}
    assert set(horizons) == set(range(4, 10))
    assert names == {"quadratic", "regression"}
    assert [len(weights) for weights in trajectories.segments(8, whole=True)] == [horizons[2]]


def test_the_horizon_changes_no_function() -> None:
    trainer = Trainer(make_recipe(VALUES))
    number = next(k for k in range(40) if trainer.trajectories.family(k).task.name == "regression")
    family = trainer.trajectories.family(number)
    longer = family.task.model_copy(update={"horizon": 1000})
    seeds = family.seeds("meta-training", 0, 2)
    for name, value in Problems(family.task, seeds).start.items():
        assert torch.equal(value, Problems(longer, seeds).start[name])


def test_a_meta_step_takes_the_mean_over_its_families() -> None:
    trainer = Trainer(make_recipe(VALUES))
    progress = trainer.begin()
    rows = torch.stack([trainer._whole_trajectory(progress, number) for number in range(4)])
    stepped = trainer.run_trajectory(progress)
    # Adam's first mean is a tenth of the gradient, which is below the bound on its norm.
    taken = torch.cat([stepped.mean[name].flatten() for name in progress.phi]) * 10
    torch.testing.assert_close(taken, rows[:, :-2].mean(0), rtol=1e-4, atol=1e-6)
    assert [stepped.log[0][name] for name in ("meta_loss", "final_loss")] == pytest.approx(
        rows[:, -2:].exp().mean(0).tolist()
    )
    assert stepped.meta_steps == 1
    assert stepped.log[0]["horizon"] == trainer.trajectories.family(0).task.horizon


def test_the_dearest_families_of_a_meta_step_begin_and_the_order_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainers = [Trainer(make_recipe(VALUES)) for _ in range(2)]
    names = [trainers[0].trajectories.draw_family(k).identity for k in range(4)]
    assert len(set(names)) > 1
    for trainer, sign in zip(trainers, (1, -1), strict=True):
        trainer.costs.learn([family.identity for family in trainer.families], [2.0 + sign * k for k in range(4)])
    orders: list[list[str]] = []
    whole = Trainer._whole_trajectory

    def note(trainer: Trainer, progress: Progress, number: int) -> torch.Tensor:
        orders[-1].append(trainer.trajectories.draw_family(number).identity)
        return whole(trainer, progress, number)

    monkeypatch.setattr(Trainer, "_whole_trajectory", note)
    found = []
    for trainer in trainers:
        orders.append([])
        found.append(trainer.run_trajectory(trainer.begin()).phi)
    places = [family.identity for family in trainers[0].families]
    assert orders[0] == sorted(names, key=places.index, reverse=True)
    assert orders[1] == sorted(names, key=places.index)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_family_is_known_by_the_least_that_its_step_took_whatever_the_horizon() -> None:
    trainer = Trainer(make_recipe(VALUES))
    progress = trainer.begin()
    for _ in range(3):
        progress = trainer.run_trajectory(progress)
    met = {trainer.trajectories.draw_family(k).identity for k in range(12)}
    assert trainer.costs.longest_first([*met, "never met"])[0] == len(met)
    costs = FamilyCosts()
    costs.learn(["a", "b"], [3.0, 2.0])
    costs.learn(["a", "b"], [1.0, 9.0])
    assert costs.longest_first(["a", "b"]) == [1, 0]


def test_it_learns_and_resumes_with_the_same_numbers() -> None:
    recipe = make_recipe(VALUES | {"trajectories": 30, "lr": 0.05, "pairs": 8, "validate_every": 30})
    trainer, progress = Trainer(recipe), Trainer(recipe).begin()
    before = trainer.validate(progress.phi)
    for _ in range(10):
        progress = trainer.run_trajectory(progress)
    again = Trainer(recipe)
    for _ in range(20):
        progress = again.run_trajectory(progress)
    assert progress.best_validation < 0.9 * before
    straight, whole = Trainer(recipe), Trainer(recipe).begin()
    for _ in range(30):
        whole = straight.run_trajectory(whole)
    assert all(torch.equal(progress.phi[name], value) for name, value in whole.phi.items())


def test_more_processes_than_families_are_refused() -> None:
    with pytest.raises(RecipeError, match="5 processes for 4 families"):
        Trainer(make_recipe(VALUES), group=ProcessGroup(0, 5))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"estimator": "pes"}, "estimator must be full-es with families"),
        ({"max_horizon": None}, "min_horizon and max_horizon must be given together"),
        ({"min_horizon": 10}, "the smaller one first, got 10 and 9"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_recipe(VALUES | given)


def test_standardised_differences_do_not_know_the_scale_of_a_function() -> None:
    noise = {"w": torch.eye(4)}
    values = torch.tensor([[1.0, 2.0, -1.0, 3.0, 0.0, 0.0, 0.0, 0.0]])
    found = finite_difference(values, noise, sigma=0.1, standardise=True)
    larger = finite_difference(1000 * values, noise, sigma=0.1, standardise=True)
    torch.testing.assert_close(found["w"], larger["w"], rtol=1e-2, atol=0)
    half = values[0, :4] / 2
    torch.testing.assert_close(found["w"], half / (half.square().mean().sqrt() + 0.002) / 4)


def test_one_pair_among_many_cannot_decide_alone() -> None:
    values = torch.zeros(1, 64)
    values[0, 0] = 1e6
    slope = finite_difference(values, {"w": torch.eye(32)}, sigma=0.1, standardise=True)["w"]
    assert float(slope.max()) == pytest.approx(2.5 / 32)


@pytest.mark.parametrize("last", [math.nan, math.inf, 1e30, 40.0])
def test_divergence_costs_as_much_as_twenty_times_the_first_loss(last: float) -> None:
    history = LossHistory(first=torch.tensor([[2.0]]), best=torch.tensor([[2.0]]))
    assert float(bounded_log_ratio(torch.tensor([[[last]]]), history, 1e-6)) == pytest.approx(math.log(20))


@pytest.mark.parametrize("least", [1e-6, 1e-3])
def test_below_the_least_ratio_losses_count_alike(least: float) -> None:
    """A tenth of the least ratio is worth a tenth more than none, a loss far above it what its logarithm says."""
    recipe = make_recipe(VALUES | {"objective": "bounded-log-ratio", "least_ratio": least})
    objective = make_estimator(recipe).objective
    history = LossHistory(first=torch.tensor([[2.0]]), best=torch.tensor([[2.0]]))

    def value(loss: float) -> float:
        return float(objective.value(torch.ones(1), torch.tensor([[[loss]]]), history))

    assert value(0.0) == pytest.approx(math.log(least))
    assert value(0.2 * least) - value(0.0) == pytest.approx(math.log(1.1), abs=1e-5)
    assert value(1.0) == pytest.approx(math.log(0.5), abs=1e-5 + 2 * least)


def test_scaled_tensors_have_one_factor_each_and_are_the_same_functions() -> None:
    task = Quadratic(dim=3)
    plain, scaled = Problems(task, [1, 2]), ScaledProblems(task, [1, 2], tensors=2.0)
    factors = plain.start["theta"] / scaled.start["theta"]
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert float((factors[0] - factors[1]).abs().min()) > 1e-3
    params = torch.randn(2, 1, 3)
    expected, _, _ = plain.loss_grad_and_buffers({"theta": params}, {})
    found, grads, _ = scaled.loss_grad_and_buffers({"theta": params / factors[:, None]}, {})
    torch.testing.assert_close(found, expected)
    assert grads["theta"].shape == params.shape


def test_scaled_displacements_begin_alike_and_make_steps_count_for_more_or_less() -> None:
    """f'(θ') = f(θ_0 + d ⊙ (c ⊙ θ' − θ_0)): the start is the same point, and a gradient has the factor d c."""
    task, seeds = Perceptron(units=4, batch=8), [1, 2, 3]
    plain = Problems(task, seeds, dtype=torch.float64)
    scaled = ScaledProblems(task, seeds, dtype=torch.float64, tensors=1.0, displacements=3.0)
    before, after = start(plain, SGD()), start(scaled, SGD())
    torch.testing.assert_close(after.losses, before.losses)
    found = []
    for name, grad in before.grads.items():
        factors = after.grads[name] / grad
        usual = factors[grad.abs() > 1e-9]
        assert (usual > 0).all()
        found.append(factors.nanmedian().log())
        for k in range(len(seeds)):
            own = factors[k][grad[k].abs() > 1e-9]
            torch.testing.assert_close(own, own[:1].expand_as(own))
    assert float(torch.stack(found).std()) > 0.01
    moved = {name: value + 1e-6 for name, value in after.params.items()}
    same = ScaledProblems(task, seeds, dtype=torch.float64, tensors=1.0, displacements=3.0)
    losses, _, _ = same.loss_grad_and_buffers(moved, {})
    slope = sum((grad.flatten(1).sum(1, keepdim=True) for grad in after.grads.values()), torch.zeros(()))
    torch.testing.assert_close((losses - after.losses) / 1e-6, slope, rtol=1e-3, atol=1e-3)


def test_displacements_of_a_number_are_numbers() -> None:
    drawn = _displacements({"bias": (), "weight": (2, 3)}, 3.0, torch.Generator().manual_seed(0))
    assert {name: tuple(value.shape) for name, value in drawn.items()} == {"bias": (), "weight": (2, 3)}


def test_a_full_es_takes_a_trajectory_as_one_segment() -> None:
    estimator = make_estimator(make_recipe(VALUES))
    assert estimator.whole
    assert not make_estimator(make_recipe({"task": "quadratic", "estimator": "nres"})).whole


def test_the_held_out_loss_has_its_share_of_the_meta_gradient() -> None:
    task, weights = Perceptron(units=3, fold=1, batch=4, horizon=3), torch.ones(3)

    def estimate(share: float) -> dict[str, torch.Tensor]:
        recipe = make_recipe(
            {"task": "quadratic", "estimator": "full-es", "pairs": 2, "heldout_share": share, "objective": "log-ratio"}
        )
        problems, random = Problems(task, [1, 2]), torch.Generator().manual_seed(0)
        rule = Controller(hidden=2).initialised(torch.Generator().manual_seed(3))
        estimator = make_estimator(recipe)
        return estimator.advance(problems, rule, estimator.begin(problems, rule, random), weights, random).meta_grads

    none, half, all_of_it = estimate(0.0), estimate(0.5), estimate(1.0)
    for name, grad in half.items():
        torch.testing.assert_close(grad, (none[name] + all_of_it[name]) / 2)
        assert not torch.equal(none[name], all_of_it[name])


def test_the_held_out_loss_is_that_of_the_function_itself_however_it_is_scaled() -> None:
    task = Perceptron(units=3, fold=0, batch=4)
    plain, scaled = Problems(task, [3]), ScaledProblems(task, [3], tensors=1.0, displacements=2.0)
    at_start = {name: value.unsqueeze(1) for name, value in scaled.start.items()}
    expected = plain.heldout_loss({name: value.unsqueeze(1) for name, value in plain.start.items()}, {})
    found = scaled.heldout_loss(at_start, {})
    assert expected is not None
    assert found is not None
    torch.testing.assert_close(found, expected)


def test_a_share_of_the_held_out_loss_needs_whole_trajectories() -> None:
    with pytest.raises(RecipeError, match="estimator must be full-es with heldout_share, got pes"):
        make_recipe({"task": "quadratic", "estimator": "pes", "heldout_share": 0.5})


def test_a_share_of_the_held_out_loss_needs_a_family_that_has_one() -> None:
    with pytest.raises(RecipeError, match="heldout_share must be 0 where no family has held-out examples, got"):
        Trainer(make_recipe({**VALUES, "heldout_share": 0.5}))
    Trainer(make_recipe({**VALUES, "heldout_share": 0.5, "mixture": [*VALUES["mixture"], "perceptron[fold=0]"]}))
