"""Learned initialisations: directions against closed forms on quadratics, the outer loop, the command and its files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from l2obench.bench.commands import cli
from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.start_recipe import StartRecipe, make_start_recipe
from l2obench.bench.metatrain.starts.methods import fomaml, maml, reptile
from l2obench.bench.metatrain.starts.training import learn_start
from l2obench.bench.metatrain.trainer import MetaTrainingDiverged
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.meta_sgd import MetaSGD, Misfit
from l2obench.tasks.quadratic import Quadratic

RATE, STEPS, DIM = 0.02, 4, 3
SMALL = "sinusoid[horizon=2,layers=1,units=4]"


def quadratics() -> Problems:
    return Problems(Quadratic(dim=DIM), [1, 2, 3], dtype=torch.float64)


def somewhere() -> dict[str, Tensor]:
    return {"theta": torch.linspace(-1, 2, DIM, dtype=torch.float64)}


def ends() -> tuple[Tensor, Tensor, Tensor]:
    """Of ‖Wθ − y‖²: its Hessian H, I − αH, and θ₀ − θ*, for every function.

    Gradient descent multiplies what is left, θ − θ*, by I − αH at every step.
    """
    batch = quadratics().minibatch()
    hessian = 2 * batch["w"].mT @ batch["w"]
    left = somewhere()["theta"] - torch.linalg.solve(batch["w"], batch["y"])
    return hessian, torch.eye(DIM, dtype=torch.float64) - RATE * hessian, left.unsqueeze(-1)


def test_mamls_gradient_is_the_closed_form_of_a_quadratic() -> None:
    """f(θ_k) = ½ lᵀ P H P l with P = (I − αH)ᵏ and l = θ₀ − θ*, so its gradient in θ₀ is P H P l."""
    hessian, contraction, left = ends()
    power = torch.linalg.matrix_power(contraction, STEPS)
    expected = (power @ hessian @ power @ left).mean(0).squeeze(-1)
    found = maml(quadratics(), SGD(lr=RATE), somewhere(), STEPS)
    torch.testing.assert_close(found.start["theta"], expected)
    torch.testing.assert_close(found.loss, ((power @ left).mT @ hessian @ (power @ left) / 2).mean())
    assert found.rates == {}


def test_first_order_maml_takes_the_gradient_where_the_steps_end() -> None:
    hessian, contraction, left = ends()
    expected = (hessian @ torch.linalg.matrix_power(contraction, STEPS) @ left).mean(0).squeeze(-1)
    torch.testing.assert_close(fomaml(quadratics(), SGD(lr=RATE), somewhere(), STEPS).start["theta"], expected)


def test_reptile_goes_to_the_mean_of_the_ends() -> None:
    _, contraction, left = ends()
    moved = torch.linalg.matrix_power(contraction, STEPS) @ left - left  # θ_k − θ₀
    found = reptile(quadratics(), SGD(lr=RATE), somewhere(), STEPS).start["theta"]
    torch.testing.assert_close(found, -moved.mean(0).squeeze(-1))


def test_meta_sgd_with_equal_rates_is_maml_and_its_rates_have_their_closed_form() -> None:
    """After one step, ∂f(θ₁)/∂α = −∇f(θ₀) ∘ ∇f(θ₁)."""
    rates = {"theta": torch.full((DIM,), RATE, dtype=torch.float64)}
    rule = MetaSGD(shapes={"theta": (DIM,)}).with_meta_parameters(rates)
    for steps in (1, STEPS):
        found, expected = (maml(quadratics(), each, somewhere(), steps).start for each in (rule, SGD(lr=RATE)))
        torch.testing.assert_close(found, expected)
    hessian, contraction, left = ends()
    slope = -((hessian @ left) * (hessian @ contraction @ left)).mean(0).squeeze(-1)
    torch.testing.assert_close(maml(quadratics(), rule, somewhere(), 1).rates["theta"], slope)


def test_mamls_gradient_through_minibatches_of_a_network_is_that_of_differences() -> None:
    task = task_registry().create("sinusoid[activation=tanh,layers=1,units=3]")
    start = task.sample(torch.Generator().manual_seed(0)).params
    start = {name: value.double() for name, value in start.items()}

    def at(shift: float) -> Tensor:
        moved = start | {"w1": start["w1"] + shift * torch.ones_like(start["w1"])}
        return maml(Problems(task, [5, 6], dtype=torch.float64), SGD(lr=0.05), moved, 3).loss

    slope = (at(1e-5) - at(-1e-5)) / 2e-5
    found = maml(Problems(task, [5, 6], dtype=torch.float64), SGD(lr=0.05), start, 3).start["w1"].sum()
    torch.testing.assert_close(found, slope, rtol=1e-6, atol=0)


def small(name: str, **changes: object) -> StartRecipe:
    values = {"method": name, "task": SMALL, "functions": 4, "trajectories": 1, "validation_functions": 16}
    return make_start_recipe(values | changes)


def test_one_outer_step_of_reptile_goes_a_fraction_of_the_way() -> None:
    stayed = learn_start(small("reptile", lr=1e-30)).start
    half, whole = (learn_start(small("reptile", lr=lr)).start for lr in (0.5, 1.0))
    for name, value in stayed.items():
        torch.testing.assert_close(half[name], (value + whole[name]) / 2)
        assert not torch.equal(half[name], value)


def test_the_first_outer_step_of_meta_sgd_is_mamls() -> None:
    one, other = (learn_start(small(method, lr=1e-3, clip=None)) for method in ("maml", "meta-sgd"))
    assert one.rates == {}
    for name, value in one.start.items():
        torch.testing.assert_close(other.start[name], value)
        assert (other.rates[name] - 0.01).abs().max() > 0


@pytest.mark.parametrize("method", ["maml", "fomaml", "reptile", "meta-sgd"])
def test_learning_lowers_the_loss_and_is_repeatable(method: str) -> None:
    more = {"task": "sinusoid[horizon=3,layers=1,units=8]", "trajectories": 15, "functions": 8}
    before, after, again = (learn_start(small(method, **more, **lr)) for lr in ({"lr": 1e-30}, {}, {}))
    assert after.validation_loss < before.validation_loss
    assert all(torch.equal(again.start[name], value) for name, value in after.start.items())


def test_another_seed_is_another_training() -> None:
    one, other = (learn_start(small("reptile", seed=seed)).start for seed in (0, 1))
    assert not torch.equal(one["w0"], other["w0"])


def test_a_start_is_learned_on_functions_of_meta_training(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    def recorded(purpose: str, family: str, index: int) -> int:
        asked.append((purpose, family, index))
        return derive_seed(purpose, family, index)  # type: ignore[arg-type]

    monkeypatch.setattr("l2obench.bench.metatrain.starts.training.derive_seed", recorded)
    learn_start(small("reptile", trajectories=2, validation_functions=1))
    family = "sinusoid[layers=1,units=4]"
    training = [("meta-training", family, index) for index in range(8)]
    assert asked == [("meta-randomness", f"{family}/start", 0), *training, ("meta-validation", family, 0)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "mamml"}, "method must be 'maml', 'fomaml', 'reptile' or 'meta-sgd', got 'mamml'"),
        ({"inner_lr": -1.0}, "inner_lr must be greater than 0, got -1"),
        ({"task": "quadratic"}, "the task must take a learned start, got quadratic"),
    ],
)
def test_bad_recipes_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        learn_start(small("maml", **values))  # type: ignore[arg-type]


def test_a_clipped_step_of_reptile_goes_as_far_as_the_bound() -> None:
    stayed, clipped = (learn_start(small("reptile", **each)).start for each in ({"lr": 1e-30}, {"clip": 1e-3}))
    moved = torch.cat([(clipped[name] - value).flatten() for name, value in stayed.items()])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_one_that_diverges_says_what_to_lower() -> None:
    with pytest.raises(MetaTrainingDiverged, match=r"5 outer steps in a row .* a lower --lr .*, or a lower --inner-lr"):
        learn_start(small("fomaml", task="sinusoid[horizon=20]", inner_lr=1e6, trajectories=5))


@pytest.fixture
def l2obench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The command line in this process: its exit code, and all that it said."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["l2obench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return call


def test_the_command_writes_a_start_and_rates_that_run_together(
    tmp_path: Path, l2obench: Callable[..., tuple[int, str]]
) -> None:
    arguments = ["train-start", "meta-sgd", "-t", SMALL, "--trajectories", "3", "--functions", "2"]
    arguments += ["--out", str(tmp_path / "it")]
    code, said = l2obench(*arguments)
    assert code == 0, said
    assert "Validation loss" in said
    task = task_registry().create(f"{SMALL[:-1]},start={tmp_path / 'it' / 'start.safetensors'}]")
    rule = optimizer_registry().create(f"meta-sgd[checkpoint={tmp_path / 'it' / 'checkpoint.safetensors'}]")
    assert rollout(task, rule, [1, 2]).losses.shape == (2, 1, 3)
    assert rule.recipe["method"] == "meta-sgd"
    with pytest.raises(Misfit, match="w1, w2 differ"):
        rollout(task_registry().create("sinusoid[horizon=2,layers=2,units=4]"), rule, [1])
    assert l2obench(*arguments) == (2, f"l2obench: {tmp_path / 'it'} holds a start already; choose another --out, "
                                       "or replace it with --force\n")  # fmt: skip
    assert l2obench(*arguments, "--force")[0] == 0
