"""The meta-training loop: Adam on φ over segments of fresh functions, the best by validation kept."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from l2obench.bench.config.recipe import Recipe, RecipeError
from l2obench.bench.config.registry import function_family, optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.metatrain import loss_scales
from l2obench.bench.metatrain.estimators import make_estimator, make_imitation
from l2obench.bench.metatrain.estimators.base import Estimator
from l2obench.bench.metatrain.families import Family, make_family
from l2obench.bench.metatrain.initial_meta_parameters import initial, require_memory
from l2obench.bench.metatrain.meta_optimizer import adam, averaged, clipped, decayed
from l2obench.bench.metatrain.problem_scaling import ScaledProblems
from l2obench.bench.metatrain.ranks import Ranks, Share
from l2obench.bench.metatrain.validation import criterion
from l2obench.bench.metatrain.weighting import step_weights
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.optimizers.base import CoordinatewiseOptimizer, Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer

MAX_SETBACKS = 5
ALONE = Ranks()


class MetaTrainingDiverged(RuntimeError):
    """Several trajectories in a row gave meta-gradients that are not finite."""

    exit_code = 3


@dataclass(frozen=True)
class Progress:
    """All that the loop carries from one trajectory to the next; saved and restored as a whole."""

    phi: Tensors
    mean: Tensors
    square: Tensors
    average: Tensors
    """What is validated and kept: a moving average of φ, or φ itself."""
    best: Tensors
    scales: Tensors = field(default_factory=dict)
    """Those of the losses along a trajectory, by which learned weights go; empty where weights are given."""
    best_validation: float = math.inf
    trajectory: int = 0
    meta_steps: int = 0
    setbacks: int = 0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Meta-trains one rule by one recipe. Every trajectory's randomness derives from its number.

    The functions of a meta-step and of a validation are split between the ranks; all else is the same on each.
    """

    def __init__(self, recipe: Recipe, device: str = "cpu", ranks: Ranks = ALONE) -> None:
        self.recipe = recipe
        self.device = device
        self.ranks = ranks
        self.task = task_registry().create(recipe.task)
        self.family = function_family(self.task)
        rule = optimizer_registry().create(recipe.optimizer)
        if not isinstance(rule, LearnedOptimizer):
            raise RecipeError(f"{recipe.optimizer} has nothing to train: it is not a learned optimizer")
        if recipe.coordinates is not None and not isinstance(rule, CoordinatewiseOptimizer):
            raise RecipeError(
                f"coordinates={recipe.coordinates} needs a coordinatewise rule, and {rule.name} is not one: use a "
                "recipe without, such as sharing"
            )
        if recipe.second_order and recipe.coordinates is not None:
            raise RecipeError("second_order follows all coordinates; leave coordinates out")
        require_memory(recipe, rule)
        if ranks.count > min(recipe.functions, recipe.validation_functions):
            raise RecipeError(
                f"{ranks.count} processes for {recipe.functions} functions and {recipe.validation_functions} of "
                "validation: expected one for each process at least"
            )
        self.estimator = make_estimator(recipe)
        self.imitation = make_imitation(recipe)
        self.families = [make_family(identity, rule) for identity in recipe.mixture or (recipe.task,)]
        names = recipe.validation or recipe.mixture or (recipe.task,)
        self.validated = [make_family(identity, rule) for identity in names]
        self.rule = make_family(recipe.task, rule).rule
        for family in self.families:
            horizon = family.task.horizon
            if horizon < recipe.unroll and not self.estimator.whole:
                raise RecipeError(
                    f"the unroll ({recipe.unroll}) is longer than the horizon ({horizon}) of {family.identity}"
                )
            if recipe.first_horizon is not None and not recipe.unroll <= recipe.first_horizon <= horizon:
                raise RecipeError(
                    f"first_horizon={recipe.first_horizon}: expected the unroll ({recipe.unroll}) at least, "
                    f"the horizon ({horizon}) of {family.identity} at most"
                )
            step_weights(recipe.weighting, recipe.first_horizon or horizon)  # one that weighs nothing is refused here

    def begin(self) -> Progress:
        """The rule's own meta-parameters, if it has a checkpoint, or random ones, from the recipe's seed."""
        random = generator(derive_seed("meta-randomness", f"{self.family}/initial", self.recipe.seed))
        phi = {name: value.to(self.device) for name, value in initial(self.recipe, self.rule, random).items()}
        zeros = {name: torch.zeros_like(tensor) for name, tensor in phi.items()}
        scales = loss_scales.equal(self.device) if self.recipe.weighting == "learned" else {}
        return Progress(phi, zeros, dict(zeros), dict(phi), dict(phi), scales)

    def run_trajectory(self, progress: Progress) -> Progress:
        """Progress after one trajectory. Where its meta-gradient is not finite, φ stays what it was before.

        Raises:
            MetaTrainingDiverged: this happened `MAX_SETBACKS` times in a row.
        """
        began = time.perf_counter()
        try:
            stepped, row = self._descend(progress)
        except FloatingPointError as error:
            stepped, row = replace(progress, setbacks=progress.setbacks + 1), {"event": f"stepped back: {error}"}
            if stepped.setbacks == MAX_SETBACKS:
                raise MetaTrainingDiverged(
                    f"{MAX_SETBACKS} trajectories in a row gave meta-gradients that are not finite; lower lr "
                    f"(now {self.recipe.lr:g}) or clip (now {self.recipe.clip:g})"
                ) from error
        stepped = replace(stepped, trajectory=progress.trajectory + 1)
        if stepped.trajectory % self.recipe.validate_every == 0 or stepped.trajectory == self.recipe.trajectories:
            row["validation"] = self.validate(stepped.average)
            if row["validation"] < stepped.best_validation:
                stepped = replace(stepped, best=stepped.average, best_validation=row["validation"])
        seconds = time.perf_counter() - began
        log = [*progress.log, {"trajectory": progress.trajectory, "seconds": seconds, **row}]
        return replace(stepped, seconds=progress.seconds + seconds, log=log)

    @torch.no_grad()
    def validate(self, phi: Tensors) -> float:
        """The criterion on the validation functions; infinite if one of them diverges."""
        count, finals, starts = self.recipe.validation_functions, [], []
        share = self.ranks.share(count)
        for family in self.validated:
            seeds = family.seeds("meta-validation", self._unit(0, count), count)[share.first : share.stop]
            rule = family.rule.with_meta_parameters(phi)
            losses = rollout(family.task, rule, seeds, options=RunOptions(device=self.device), evaluate=False).losses
            finals.append(self.ranks.mean(family.task.final_loss(losses)))
            starts.append(self.ranks.mean(losses[..., 0]))
        return criterion(finals, starts)

    def _descend(self, progress: Progress) -> tuple[Progress, dict[str, Any]]:
        """The meta-steps of one trajectory, and its row of the log."""
        number = progress.trajectory
        family, share = self.family_of(number), self.ranks.share(self.recipe.functions)
        problems, draws = self.functions(number, share), self._random("coordinates", number)
        estimator = self.estimator_of(number)
        walk = estimator.begin(problems, family.rule.with_meta_parameters(progress.phi), draws)
        walk = replace(walk, share=share)
        met, norms = [], []
        for weights in self.segments(number, progress.scales):
            if self.recipe.boundary_losses == "twice":
                met.append(walk.carry.losses.unsqueeze(-1))
            rule = family.rule.with_meta_parameters(progress.phi)
            estimate = estimator.advance(problems, rule, walk, weights / len(weights), draws)
            walk = estimate.walk
            met.append(estimate.losses)
            progress, norm = self._meta_step(progress, self.ranks.averaged(estimate.meta_grads, share))
            norms.append(norm)
        losses = torch.cat(met, dim=-1)
        return replace(progress, setbacks=0, scales=self._scales(progress, losses, share)), {
            **({"family": family.identity} if len(self.families) > 1 else {}),
            "meta_loss": self.ranks.mean(losses),
            "final_loss": self.ranks.mean(family.task.final_loss(losses)),
            "gradient_norm": sum(norms) / len(norms),
            "lr": self._lr(number),
        }

    def _meta_step(self, progress: Progress, grads: Tensors) -> tuple[Progress, float]:
        """One step of Adam on φ with the clipped meta-gradient, and the norm it had.

        Raises:
            FloatingPointError: the meta-gradient is not finite.
        """
        norm = torch.stack([grad.square().sum() for grad in grads.values()]).sum().sqrt()
        if not torch.isfinite(norm):
            raise FloatingPointError(f"meta-gradient is {float(norm)} at meta-step {progress.meta_steps}")
        grads = clipped(grads, norm, self.recipe.clip)
        step, lr = progress.meta_steps + 1, self._lr(progress.trajectory)
        phi, mean, square = adam(progress.phi, grads, progress.mean, progress.square, step, lr)
        average = phi if self.recipe.average is None else averaged(progress.average, phi, self.recipe.average, step)
        return replace(progress, phi=phi, mean=mean, square=square, average=average, meta_steps=step), float(norm)

    def _scales(self, progress: Progress, losses: Tensor, share: Share) -> Tensors:
        """Those of the losses after a trajectory that met `losses [seeds, settings, steps]`, if weights are learned."""
        if not progress.scales:
            return {}
        mean = self.ranks.averaged({"losses": losses.mean((0, 1))}, share)["losses"]
        return loss_scales.moved(progress.scales, mean, progress.trajectory)

    def estimator_of(self, trajectory: int) -> Estimator:
        """What makes the meta-gradients of a trajectory: the first ones may imitate."""
        if self.imitation is not None and trajectory < self.recipe.imitation:
            return self.imitation
        return self.estimator

    def family_of(self, trajectory: int) -> Family:
        """The family that a trajectory is on."""
        if len(self.families) == 1:
            return self.families[0]
        return self.families[int(torch.randint(len(self.families), (), generator=self._random("mixture", trajectory)))]

    def functions(self, trajectory: int, share: Share) -> Problems:
        """This rank's functions of a trajectory."""
        family, recipe = self.family_of(trajectory), self.recipe
        seeds = family.seeds("meta-training", self._unit(trajectory, recipe.functions), recipe.functions)
        seeds = seeds[share.first : share.stop]
        if recipe.coordinate_scaling is None and recipe.loss_scaling is None:
            return Problems(family.task, seeds, self.device)
        coordinates, loss = recipe.coordinate_scaling or 0.0, recipe.loss_scaling or 0.0
        return ScaledProblems(family.task, seeds, self.device, coordinates=coordinates, loss=loss)

    def weights(self, trajectory: int, scales: Tensors | None = None) -> Tensor:
        """w_1 … w_T of a trajectory, `[T]`: T grows from the recipe's first horizon to the family's.

        Args:
            trajectory: its number.
            scales: those of the losses, where weights are learned.
        """
        horizon = self.family_of(trajectory).task.horizon
        first = self.recipe.first_horizon or horizon
        share = min(1.0, 2 * trajectory / self.recipe.trajectories)
        steps = round(first * (horizon / first) ** share)
        if scales:
            return loss_scales.inverse(scales, steps)
        return step_weights(self.recipe.weighting, steps).to(self.device)

    def segments(self, trajectory: int, scales: Tensors | None = None) -> tuple[Tensor, ...]:
        """The weights of a trajectory, a truncation at a time."""
        weights, unroll = self.weights(trajectory, scales), self.recipe.unroll
        if self.estimator_of(trajectory).whole:
            return (weights,)
        if not self.recipe.random_offset:
            return torch.split(weights, unroll)
        first = int(torch.randint(1, unroll + 1, (), generator=self._random("offset", trajectory)))
        rest = weights[first:]
        return (weights[:first], *torch.split(rest, unroll)) if len(rest) else (weights,)

    def _lr(self, trajectory: int) -> float:
        """The rate of a trajectory."""
        return decayed(self.recipe.lr, self.recipe.final_lr, trajectory, self.recipe.trajectories)

    def _random(self, what: str, trajectory: int) -> torch.Generator:
        """The randomness of one thing in a trajectory."""
        return generator(derive_seed("meta-randomness", f"{self.family}/{what}", self._unit(trajectory, 1)))

    def _unit(self, number: int, count: int) -> int:
        """Where the seeds of a trajectory begin; recipes with another seed use other functions."""
        return self.recipe.seed * 10**9 + number * count


def train(trainer: Trainer, progress: Progress, on_trajectory: Callable[[Progress], None]) -> Progress:
    """Go on from `progress` to the end of the recipe, reporting after each trajectory."""
    while progress.trajectory < trainer.recipe.trajectories:
        progress = trainer.run_trajectory(progress)
        on_trajectory(progress)
    return progress
