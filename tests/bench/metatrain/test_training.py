"""Meta-training: it learns, keeps the best, survives a kill, steps back from what is not finite."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.recipe import RecipeError, compose, make_recipe, named_recipe, optimizer_for
from l2obench.bench.config.shipped import recipe_names
from l2obench.bench.measure.costs import optimizer_costs
from l2obench.bench.metatrain import trainer as trainer_module
from l2obench.bench.metatrain.estimators import bptt
from l2obench.bench.metatrain.estimators.bptt_gradient import Segment
from l2obench.bench.metatrain.loop import train
from l2obench.bench.metatrain.meta_optimizer import adam_step
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import MetaTrainingDiverged, Trainer
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.store.results_file import StoreError
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from l2obench.optimizers.learned.lstm import LSTM

SMALL = {
    "task": "quadratic[dim=3,horizon=20]",
    "optimizer": "lstm[hidden=6,output_scale=1,preprocessing=none]",
    "functions": 8,
    "unroll": 10,
    "trajectories": 12,
    "validate_every": 3,
    "validation_functions": 16,
    "lr": 0.01,
}
SHARING = "ntm-bfgs[averaging=2,hidden=6,memory=4,output_scale=1,preprocessing=none]"


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_to_beat_standing_still(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(SMALL | {"trajectories": 60}))
    before = session.trainer.validate(session.progress.phi)
    assert session.run().best_validation < 0.5 * before


def test_the_best_by_validation_is_what_the_checkpoint_holds(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(SMALL))
    progress = session.run()
    validations = [row["validation"] for row in progress.log if "validation" in row]
    assert progress.best_validation == min(validations)
    rule = LSTM(checkpoint=str(tmp_path / "checkpoint.safetensors"))
    seeds = [derive_seed("meta-validation", "quadratic[dim=3]", k) for k in range(16)]
    losses = rollout(session.trainer.task, rule, seeds, evaluate=False).losses
    assert float(losses[..., -1].mean()) == pytest.approx(progress.best_validation, rel=1e-5)


def test_the_checkpoint_carries_the_recipe(tmp_path: Path) -> None:
    Session(tmp_path, make_recipe(SMALL)).run()
    recipe = read_checkpoint(str(tmp_path / "checkpoint.safetensors")).recipe
    assert {key: recipe[key] for key in SMALL} == SMALL
    assert {"versions", "commit", "dirty", "seconds", "validation_criterion", "seed", "task_version"} <= recipe.keys()


def test_a_finished_training_is_left_as_it_is(tmp_path: Path) -> None:
    """Another commit that finds it finished does not put its name to it; a checkpoint that was lost is made again."""
    Session(tmp_path, make_recipe(SMALL)).run()
    path = tmp_path / "checkpoint.safetensors"
    before = path.read_bytes()
    for lost in (False, True):
        if lost:
            path.unlink()
        again = Session(tmp_path, make_recipe(SMALL))
        again.origin = {"commit": "another"}
        again.run()
        assert (path.read_bytes() == before) is not lost
        assert (read_checkpoint(str(path)).recipe["commit"] == "another") is lost


def test_denormal_numbers_are_zero_in_a_training_and_not_after_it(tmp_path: Path) -> None:
    """With them a processor takes several times as long."""
    smallest = torch.tensor(1e-40)
    seen = []
    session = Session(tmp_path, make_recipe(SMALL | {"trajectories": 1}))
    session.run(lambda _: seen.append(float(smallest * 1.0)))
    assert seen == [0.0]
    assert float(smallest * 1.0) > 0


def test_log_is_a_table_and_a_picture(tmp_path: Path) -> None:
    Session(tmp_path, make_recipe(SMALL)).run()
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["trajectory"].tolist() == list(range(12))
    assert log["validation"].notna().sum() == 4
    assert (log["meta_loss"] > 0).all()
    assert (tmp_path / "meta-loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rule", [SMALL["optimizer"], SHARING])
def test_stopped_and_resumed_equals_undisturbed(tmp_path: Path, rule: str) -> None:
    recipe = make_recipe(SMALL | {"optimizer": rule})
    undisturbed = Session(tmp_path / "one", recipe)
    undisturbed.run()

    class Killed(Exception):
        pass

    def die(progress: trainer_module.Progress) -> None:
        if progress.trajectory == 7:
            raise Killed

    first = Session(tmp_path / "two", recipe)
    with pytest.raises(Killed):
        first.run(die)  # saved for the last time at an earlier best
    second = Session(tmp_path / "two", recipe)
    assert second.resumed
    assert 0 < second.progress.trajectory < 7
    second.run()
    assert same(second.progress.phi, undisturbed.progress.phi)
    assert same(second.progress.best, undisturbed.progress.best)
    assert second.progress.best_validation == undisturbed.progress.best_validation


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(SMALL | {"average": 0.9, "validate_every": 12}))
    seen = [session.progress.phi]
    real = trainer_module.adam_step

    def noted(*args: object) -> tuple[dict[str, torch.Tensor], ...]:
        result = real(*args)  # type: ignore[arg-type]
        seen.append(result[0])
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "adam_step", noted)
        session.run()
    expected = {name: value.double() for name, value in seen[0].items()}
    for step, phi in enumerate(seen[1:], 1):
        decay = min(0.9, step / (step + 10))
        expected = {name: decay * expected[name] + (1 - decay) * phi[name] for name in phi}
    for name, value in session.progress.best.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6)


def test_without_an_average_phi_itself_is_kept(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(SMALL | {"validate_every": 12}))
    session.run()
    assert same(session.progress.best, session.progress.phi)


def test_trajectories_grow_to_the_horizon_of_the_task(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(SMALL | {"task": "quadratic[dim=3,horizon=80]", "first_horizon": 20}))
    lengths = [len(session.trainer.trajectories.weights(number)) for number in range(12)]
    assert lengths[0] == 20
    assert lengths == sorted(lengths)
    assert lengths[3] == 40, "a geometric mean, after a quarter of the trajectories"
    assert lengths[6:] == [80] * 6, "from half of the trajectories on"
    steps = [-(-length // 10) for length in lengths]
    assert session.run().meta_steps == sum(steps)


@pytest.mark.parametrize("first", [9, 21])
def test_a_first_horizon_outside_unroll_and_horizon_is_refused(first: int) -> None:
    with pytest.raises(RecipeError, match=f"first_horizon must be from the unroll \\(10\\) .*, got {first}"):
        Trainer(make_recipe(SMALL | {"first_horizon": first}))


def test_a_training_begun_before_a_field_was_known_goes_on(tmp_path: Path) -> None:
    Session(tmp_path, make_recipe(SMALL | {"trajectories": 3})).run()
    state = tmp_path / "state.safetensors"
    content = state.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    counters = json.loads(header["__metadata__"]["l2obench-training"])
    del counters["recipe"]["first_horizon"]
    header["__metadata__"]["l2obench-training"] = json.dumps(counters)
    older = json.dumps(header).encode()
    state.write_bytes(len(older).to_bytes(8, "little") + older + content[8 + length :])
    assert Session(tmp_path, make_recipe(SMALL | {"trajectories": 3})).progress.trajectory == 3


def test_another_recipe_does_not_overwrite_a_training(tmp_path: Path) -> None:
    Session(tmp_path, make_recipe(SMALL | {"trajectories": 3})).run()
    with pytest.raises(StoreError, match=r"lr was 0\.01, now 0\.1"):
        Session(tmp_path, make_recipe(SMALL | {"trajectories": 3, "lr": 0.1}))
    assert not Session(tmp_path, make_recipe(SMALL | {"lr": 0.1}), force=True).resumed


@pytest.mark.parametrize("cut", [0, 7, 100, 5000])
def test_a_damaged_state_is_named(tmp_path: Path, cut: int) -> None:
    Session(tmp_path, make_recipe(SMALL | {"trajectories": 3})).run()
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:cut])
    with pytest.raises(StoreError, match=r"state\.safetensors is damaged"):
        Session(tmp_path, make_recipe(SMALL | {"trajectories": 3}))


def poison(monkeypatch: pytest.MonkeyPatch, trajectories: set[int], calls_each: int = 2) -> None:
    """Make the meta-gradient of these trajectories NaN."""
    real, calls = bptt.truncated_bptt, iter(range(10**6))

    def poisoned(*args: object) -> Segment:
        segment: Segment = real(*args)  # type: ignore[arg-type]
        if next(calls) // calls_each in trajectories:
            grads = {name: value * math.nan for name, value in segment.meta_grads.items()}
            return Segment(segment.carry, segment.losses, grads)
        return segment

    monkeypatch.setattr(bptt, "truncated_bptt", poisoned)


def test_a_gradient_that_is_not_finite_steps_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(make_recipe(SMALL | {"unroll": 20}))
    poison(monkeypatch, {1}, calls_each=1)
    first = trainer.run_trajectory(trainer.begin())
    second = trainer.run_trajectory(first)
    assert same(second.phi, first.phi)
    assert second.meta_steps == first.meta_steps
    assert "stepped back" in second.log[-1]["event"]
    third = trainer.run_trajectory(second)
    assert third.setbacks == 0
    assert not same(third.phi, second.phi)
    assert all(value.isfinite().all() for value in third.phi.values())


def test_setbacks_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(make_recipe(SMALL | {"unroll": 20}))
    poison(monkeypatch, set(range(100)), calls_each=1)
    with pytest.raises(MetaTrainingDiverged, match="Try: a lower --lr"):
        train(trainer, trainer.begin(), lambda _: None)


def test_adam_on_the_meta_parameters_is_torchs() -> None:
    random = torch.Generator().manual_seed(0)
    phi = {"a": torch.randn(3, generator=random), "b": torch.randn(2, 2, generator=random)}
    theirs = [value.clone().requires_grad_() for value in phi.values()]
    optimizer = torch.optim.Adam(theirs, lr=0.01)
    mean = {name: torch.zeros_like(value) for name, value in phi.items()}
    square = dict(mean)
    for step in range(1, 6):
        grads = {name: torch.randn(value.shape, generator=random) for name, value in phi.items()}
        for parameter, grad in zip(theirs, grads.values(), strict=True):
            parameter.grad = grad
        optimizer.step()
        phi, mean, square = adam_step(phi, grads, mean, square, step, 0.01)
    torch.testing.assert_close(list(phi.values()), [value.detach() for value in theirs])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "must be learned, without a schedule, got adam"),
        ({"optimizer": "gac", "coordinates": 8}, "coordinates must be left out for gac, .*, got 8"),
        ({"unroll": 50}, r"unroll must be at most the horizon \(20\) of .*, got 50"),
    ],
)
def test_recipes_that_make_no_sense(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Trainer(make_recipe(SMALL | changes))


def test_recipe_values_are_checked() -> None:
    with pytest.raises(RecipeError, match="weighting"):
        make_recipe(SMALL | {"weighting": "best"})
    with pytest.raises(RecipeError, match="Did you mean paper"):
        named_recipe("papr", ["quadratic"])


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("task", ["quadratic[dim=5]", "mnist-mlp"])
def test_shipped_recipes_make_trainers(name: str, task: str) -> None:
    recipe = make_recipe(named_recipe(name, [task]))
    rule = Trainer(recipe).rule
    if isinstance(rule, LSTM) and task.startswith("quadratic"):
        assert rule.preprocessing == "none"


def test_a_recipe_may_bring_its_own_families() -> None:
    own = make_recipe(named_recipe("general"))
    assert own.mixture is not None
    assert own.task in own.mixture
    assert {parse_identity(family)[0] for family in own.mixture} > {"perceptron", "logistic"}
    assert not {*own.mixture} & {*(own.validation or ())}
    given = make_recipe(named_recipe("general", ["mnist-mlp"]))
    assert (given.task, given.mixture, given.validation) == ("mnist-mlp", None, None)
    assert given.objective == own.objective
    # The held-out loss of `mnist-mlp` is that of its test examples.
    assert (own.heldout_share, given.heldout_share) == (0.5, 0)


def test_zero_takes_away_what_a_recipe_need_not_have() -> None:
    kept = compose("controller", ["mnist-mlp"], "general", {})
    assert (kept.displacement_scaling, kept.average, kept.max_horizon) == (1.5, 0.95, 1000)
    given = {"displacement_scaling": 0, "average": 0.0, "min_horizon": 0, "max_horizon": 0, "imitation": 0, "seed": 0}
    left = compose("controller", ["mnist-mlp"], "general", given)
    assert (left.displacement_scaling, left.average, left.min_horizon, left.max_horizon) == (None, None, None, None)
    assert (left.imitation, left.seed) == (0, 0)
    with pytest.raises(RecipeError, match="lr must be greater than 0"):
        compose("controller", ["mnist-mlp"], "general", {"lr": 0})


@pytest.mark.parametrize(
    ("rule", "trained"),
    [
        ("lstm", "lstm[output_scale=1,preprocessing=none]"),
        ("ntm-bfgs", "ntm-bfgs[output_scale=1,preprocessing=none]"),
        ("gac[averaging=2]", "gac[averaging=2]"),
        ("torch.optim.SGD", "torch.optim.SGD"),
    ],
)
def test_a_bare_rule_takes_the_recipes_parameters(rule: str, trained: str) -> None:
    assert optimizer_for(rule, named_recipe("shipped", ["quadratic"])["optimizer"]) == trained


def test_presets_are_the_published_values() -> None:
    release = Trainer(make_recipe(named_recipe("deepmind-release", ["mnist-mlp"])))
    assert (release.rule.p, release.rule.output_scale, release.recipe.lr) == (5, 0.01, 1e-3)
    phi = release.begin().phi
    assert float(phi["lstm1.weight"].std()) == pytest.approx(0.01, rel=0.1)
    assert not phi["lstm1.bias"].any()


def test_boundary_losses_count_twice_in_the_log_only() -> None:
    once, twice = (Trainer(make_recipe(SMALL | {"boundary_losses": kind})) for kind in ("once", "twice"))
    first, second = once.run_trajectory(once.begin()), twice.run_trajectory(twice.begin())
    assert same(first.phi, second.phi)
    assert first.log[0]["meta_loss"] != second.log[0]["meta_loss"]


def test_state_is_json_and_tensors_only(tmp_path: Path) -> None:
    Session(tmp_path, make_recipe(SMALL | {"trajectories": 3})).run()
    content = (tmp_path / "state.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["l2obench-training"])["trajectory"] == 3


def test_hand_designed_rules_have_no_meta_parameters() -> None:
    assert SGD().meta_parameters == {}


def test_a_training_may_begin_where_another_ended(tmp_path: Path) -> None:
    """Its meta-parameters are the start; what they cost, and on what they were trained, is not forgotten."""
    first = tmp_path / "first" / "checkpoint.safetensors"
    Session(tmp_path / "first", make_recipe(SMALL)).run()
    begun = make_recipe(SMALL | {"task": "quadratic[dim=4,horizon=20]", "optimizer": f"lstm[checkpoint={first}]"})
    session = Session(tmp_path / "second", begun)
    assert same(dict(session.progress.phi), dict(LSTM(checkpoint=str(first)).meta_parameters))
    session.run()
    assert same(dict(session.progress.phi), dict(Session(tmp_path / "second", begun).progress.phi))
    rule = LSTM(checkpoint=str(tmp_path / "second" / "checkpoint.safetensors"))
    tasks = [training["task"] for training in rule.trainings()]
    assert tasks == ["quadratic[dim=4,horizon=20]", "quadratic[dim=3,horizon=20]"]
    assert rule.recipe["started_from"]["sha256"] == LSTM(checkpoint=str(first)).checkpoint_sha256
    costs = optimizer_costs(rule)["meta_training"]
    assert costs["evaluations"] == 2 * 12 * 8 * 20
    assert costs["seconds"] == pytest.approx(sum(training["seconds"] for training in rule.trainings()))


def test_evaluations_of_a_mixture_are_those_of_its_mean_horizon() -> None:
    rule = LSTM(checkpoint="quadratic")
    families = ["quadratic[horizon=50]", "quadratic[horizon=150]", "mnist-mlp[horizon=400]"]
    rule._recipe = {"task": families[0], "mixture": families, "trajectories_done": 6, "functions": 5}
    assert optimizer_costs(rule)["meta_training"]["evaluations"] == 6 * 5 * 200
    rule._recipe = {**rule.recipe, "mixture": ["no such family"]}
    assert optimizer_costs(rule)["meta_training"]["evaluations"] is None


def test_what_a_checkpoint_started_from_may_be_anything() -> None:
    """It comes from outside: what it does not say is not known, and nothing raises."""
    for started_from in ("nonsense", {"seconds": "many"}, {}, None):
        rule = LSTM(checkpoint="quadratic")
        rule._recipe = {**rule.recipe, "started_from": started_from}
        costs = optimizer_costs(rule)["meta_training"]
        assert costs["seconds"] is None if started_from == {"seconds": "many"} else costs["seconds"] > 0
