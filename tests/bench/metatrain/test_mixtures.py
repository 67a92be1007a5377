"""What trajectories are drawn from: mixtures, scaled functions, offset truncations; validation on other families."""

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from l2obench.bench.commands.cli import app
from l2obench.bench.config.identity import alternatives
from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.config.registry import identify_functions
from l2obench.bench.config.suite import Suite
from l2obench.bench.metatrain.problem_scaling import ScaledProblems
from l2obench.bench.metatrain.process_group import Shard
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.metatrain.validation import validation_criterion
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.rollout.step import start
from l2obench.bench.store.results_file import StoreError
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from l2obench.tasks.quadratic import Quadratic

DOUBLE = torch.float64
SMALL = {
    "task": "quadratic[dim=2,horizon=12]",
    "optimizer": "lstm[hidden=4,output_scale=1,preprocessing=none]",
    "functions": 2,
    "unroll": 5,
    "trajectories": 4,
    "validate_every": 2,
    "validation_functions": 4,
}
MIXTURE = ["quadratic[dim=2|3,horizon=12]", "l2obench.bench.studies.known.Bowl[horizon=7]"]


def test_bars_stand_for_every_combination() -> None:
    assert alternatives("mnist-mlp[activation=relu|tanh,units=10|20]") == [
        "mnist-mlp[activation=relu,units=10]",
        "mnist-mlp[activation=relu,units=20]",
        "mnist-mlp[activation=tanh,units=10]",
        "mnist-mlp[activation=tanh,units=20]",
    ]
    assert alternatives("quadratic[condition=null|1e2]") == ["quadratic[condition=null]", "quadratic[condition=100]"]
    assert alternatives("quadratic[scale=1e-1]") == ["quadratic[scale=1e-1]"], "itself, as it was spelled"


def test_every_trajectory_is_on_one_family_drawn_alike(tmp_path: Path) -> None:
    trainer = Trainer(make_recipe(SMALL | {"mixture": MIXTURE}))
    drawn = Counter(trainer.trajectories.family(number).identity for number in range(600))
    assert len(drawn) == 3
    assert all(160 < count < 240 for count in drawn.values())
    again = Trainer(make_recipe(SMALL | {"mixture": MIXTURE}))
    assert [again.trajectories.family(k).identity for k in range(20)] == [
        trainer.trajectories.family(k).identity for k in range(20)
    ]
    other = Trainer(make_recipe(SMALL | {"mixture": MIXTURE, "seed": 1}))
    assert [other.trajectories.family(k).identity for k in range(20)] != [
        trainer.trajectories.family(k).identity for k in range(20)
    ]
    for number in range(6):
        family = trainer.trajectories.family(number)
        assert len(trainer.trajectories.weights(number)) == family.task.horizon
        seeds = [derive_seed("meta-training", identify_functions(family.task), number * 2 + k) for k in range(2)]
        expected = Problems(family.task, seeds).start
        assert torch.equal(trainer.trajectories.functions(number, Shard(0, 2, 2)).start["theta"], expected["theta"])


def test_a_mixture_trains_is_validated_on_its_families_and_goes_on_exactly(tmp_path: Path) -> None:
    recipe = make_recipe(SMALL | {"mixture": MIXTURE, "coordinate_scaling": 1.0, "random_offset": True})
    undisturbed = Session(tmp_path / "one", recipe).run()
    first = Session(tmp_path / "two", recipe)
    first.progress = first.trainer.run_trajectory(first.progress)
    first.save()
    resumed = Session(tmp_path / "two", recipe).run()
    assert all(torch.equal(resumed.phi[name], value) for name, value in undisturbed.phi.items())
    assert {row["family"] for row in undisturbed.log} <= {family.identity for family in first.trainer.families}
    told = read_checkpoint(str(tmp_path / "one" / "checkpoint.safetensors")).recipe
    assert told["mixture"] == [family.identity for family in first.trainer.families]
    assert told["validation_criterion"].startswith("geometric mean over families")


def test_held_out_families_validate_by_their_ratio_to_the_start() -> None:
    held_out = ["quadratic[dim=4,horizon=12]", "l2obench.bench.studies.known.Bowl[horizon=12]"]
    trainer = Trainer(make_recipe(SMALL | {"validation": held_out}))
    phi = trainer.begin().phi
    ratios = []
    for family in trainer.validated:
        losses = rollout(
            family.task, trainer.rule.with_meta_parameters(phi), family.seeds("meta-validation", 0, 4)
        ).losses
        ratios.append(float(losses[..., -1].mean() / losses[..., 0].mean()))
    assert trainer.validate(phi) == pytest.approx(math.sqrt(ratios[0] * ratios[1]), rel=1e-5)
    assert [family.identity for family in trainer.families] == [SMALL["task"]]


def test_families_of_any_scale_count_alike() -> None:
    assert validation_criterion([7.0], [9.0]) == 7
    assert validation_criterion([1.0, 100.0], [2.0, 400.0]) == pytest.approx(math.sqrt(1 / 8))
    assert validation_criterion([1.0, 1e6], [2.0, 4e6]) == pytest.approx(math.sqrt(1 / 8))
    assert validation_criterion([math.inf, 1.0], [1.0, 1.0]) == math.inf
    with pytest.raises(RecipeError, match="several families needs losses above zero"):
        validation_criterion([-1.0, 1.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixture": []}, "^recipe: mixture: must name at least one family"),
        ({"validation": []}, "^recipe: validation: must name at least one family"),
        (
            {"mixture": ["quadratic[dim=3]"]},
            r"task must be one of the mixture \(quadratic\[dim=3",
        ),
        ({"mixture": ["quadratic[dim=2|,horizon=12]"]}, "dim must be .*integer"),
        (
            {"mixture": [*MIXTURE, "quadratic[horizon=4]"]},
            r"unroll must be at most the horizon \(4\) of quadratic.*, got 5",
        ),
        ({"validation": ["neural-art"]}, "neural-art"),
        ({"mixture": [*MIXTURE, "quadratc"]}, "Did you mean quadratic"),
        ({"coordinate_scaling": -1}, "^recipe: coordinate_scaling must be greater than 0, got -1"),
    ],
)
def test_mixtures_that_make_no_sense(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(make_recipe(SMALL | changes))


def test_another_mixture_does_not_overwrite_a_training(tmp_path: Path) -> None:
    Session(tmp_path, make_recipe(SMALL | {"mixture": MIXTURE})).save()
    with pytest.raises(StoreError, match="mixture was"):
        Session(tmp_path, make_recipe(SMALL))


def test_suites_know_all_families_of_a_mixture(tmp_path: Path) -> None:
    mixture = ["quadratic[dim=2|3,horizon=12]"]
    Session(tmp_path, make_recipe(SMALL | {"mixture": mixture})).run()
    rule = f'lstm[checkpoint="{tmp_path / "checkpoint.safetensors"}"]'
    beside = {"optimizers": [rule], "unseen": ["dim"]}
    with pytest.raises(ValueError, match=r"dim=3 is to be unseen, but .* was trained on dim=3"):
        Suite(tracks=["default"], tasks=[{"task": "quadratic[dim=3]", **beside}]).cells()
    assert Suite(tracks=["default"], tasks=[{"task": "quadratic[dim=4]", **beside}]).cells()


def test_scaled_functions_are_the_same_functions_in_other_units() -> None:
    """f'(θ') = s f(cθ'), by autograd; the start is the same point; scales spread evenly over exp(±L)."""
    task, seeds = Quadratic(dim=300), [1, 2]
    plain = Problems(task, seeds, dtype=DOUBLE)
    scaled = ScaledProblems(task, seeds, dtype=DOUBLE, coordinates=2.0, loss=1.5)
    c = plain.start["theta"] / scaled.start["theta"]
    assert float(c.min().log()) == pytest.approx(-2, abs=0.1)
    assert float(c.max().log()) == pytest.approx(2, abs=0.1)
    carry = start(scaled, SGD(lr=1.0), 1)
    same = start(plain, SGD(lr=1.0), 1)
    s = carry.losses / same.losses
    assert ((s.log() > -1.5) & (s.log() < 1.5)).all()
    assert s[0] != s[1]
    torch.testing.assert_close(carry.grads["theta"], s[..., None] * c[:, None] * same.grads["theta"])
    losses, grads, _ = scaled.differentiable().loss_grad_and_buffers(carry.params, {})
    torch.testing.assert_close(losses, carry.losses)
    torch.testing.assert_close(grads["theta"], carry.grads["theta"])


def test_a_functions_scales_do_not_depend_on_those_beside_it() -> None:
    both = ScaledProblems(Quadratic(dim=3), [1, 2], coordinates=2.0, loss=1.0)
    one = ScaledProblems(Quadratic(dim=3), [2], coordinates=2.0, loss=1.0)
    torch.testing.assert_close(both.start["theta"][1:], one.start["theta"])


def test_scaling_by_nothing_changes_nothing() -> None:
    still = ScaledProblems(Quadratic(dim=3), [1, 2])
    plain = start(Problems(Quadratic(dim=3), [1, 2]), SGD())
    found = start(still, SGD())
    assert torch.equal(found.losses, plain.losses)
    assert torch.equal(found.grads["theta"], plain.grads["theta"])


def test_random_offsets_move_the_boundaries_and_lose_no_step() -> None:
    trainer = Trainer(make_recipe(SMALL | {"random_offset": True, "weighting": "linear"}))
    lengths = [[len(weights) for weights in trainer.trajectories.segments(number)] for number in range(60)]
    assert {parts[0] for parts in lengths} == {1, 2, 3, 4, 5}
    for number, parts in enumerate(lengths):
        assert sum(parts) == 12
        assert all(part == 5 for part in parts[1:-1])
        torch.testing.assert_close(
            torch.cat(trainer.trajectories.segments(number)), trainer.trajectories.weights(number)
        )
    plain = Trainer(make_recipe(SMALL))
    assert [len(weights) for weights in plain.trajectories.segments(0)] == [5, 5, 2]
    whole = Trainer(make_recipe(SMALL | {"unroll": 12, "random_offset": True}))
    assert all(sum(map(len, whole.trajectories.segments(number))) == 12 for number in range(30))


def test_the_command_line_says_it_all(tmp_path: Path) -> None:
    """A mixture by bars, another family to validate on, an estimator, points as weights."""
    words = ["train", str(SMALL["optimizer"]), "-t", "quadratic[dim=2|3,horizon=12]", "--out", str(tmp_path)]
    words += [
        "--validation",
        "l2obench.bench.studies.known.Bowl[horizon=7]",
        "--estimator",
        "pes",
        "--pairs",
        "2",
        "--sigma",
        "0.1",
    ]
    words += ["--weighting", "0,0.5,1", "--objective", "log-ratio", "--random-offset", "--coordinate-scaling", "1"]
    words += ["--loss-scaling", "0.5", "--unroll", "5", "--trajectories", "2", "--functions", "2"]
    words += ["--validate-every", "2", "--validation-functions", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    recipe = read_checkpoint(str(tmp_path / "checkpoint.safetensors")).recipe
    expected = {
        "task": "quadratic[dim=2,horizon=12]",
        "mixture": ["quadratic[dim=2,horizon=12]", "quadratic[dim=3,horizon=12]"],
        "validation": ["l2obench.bench.studies.known.Bowl[horizon=7]"],
        "estimator": "pes",
        "pairs": 2,
        "sigma": 0.1,
        "weighting": [0, 0.5, 1],
        "objective": "log-ratio",
        "random_offset": True,
        "coordinate_scaling": 1,
        "loss_scaling": 0.5,
    }
    assert {key: recipe[key] for key in expected} == expected
