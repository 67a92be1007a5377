"""The meta-training loop: Adam on the meta-parameters φ over segments of new functions; the best φ is kept."""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from l2obench.bench.config.recipe import Recipe, RecipeError
from l2obench.bench.config.registry import identify_functions, optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.metatrain import loss_scales
from l2obench.bench.metatrain.estimators import make_estimator, make_imitation
from l2obench.bench.metatrain.estimators.base import Estimator
from l2obench.bench.metatrain.families import Family, make_family
from l2obench.bench.metatrain.initial_meta_parameters import make_initial, require_memory
from l2obench.bench.metatrain.meta_optimizer import adam_step, clip_by_norm, decay_learning_rate, update_average
from l2obench.bench.metatrain.problem_scaling import ScaledProblems
from l2obench.bench.metatrain.process_group import SINGLE_PROCESS, ProcessGroup, Shard
from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.validation import validation_criterion
from l2obench.bench.metatrain.weighting import step_weights
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.optimizers.base import CoordinatewiseOptimizer, Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.scheduled import Scheduled

MAX_SETBACKS = 5
"""Trajectories in a row whose meta-gradient is not finite, after which a training ends."""


class MetaTrainingDiverged(RuntimeError):
    """Several trajectories in a row gave meta-gradients that are not finite."""

    exit_code = 3


class Trainer:
    """Meta-trains one rule by one recipe.

    All randomness of a trajectory derives from its number, so a training resumes with the same numbers. The functions
    of a meta-step and of a validation are split between the processes; all else is the same on each.

    Args:
        recipe: how to train.
        device: the torch device.
        group: the processes of this training.

    Raises:
        RecipeError: the recipe does not fit the rule, the tasks or the number of processes.
        IdentityError, UnknownName, BadParameters: a task or the rule does not exist.
        HeldOut, FileNotFoundError: training may not see a task, or its data are not on this machine.
    """

    def __init__(self, recipe: Recipe, device: str = "cpu", group: ProcessGroup = SINGLE_PROCESS) -> None:
        self.recipe, self.device, self.group = recipe, device, group
        self.task = task_registry().create(recipe.task)
        self.family = identify_functions(self.task)
        rule = optimizer_registry().create(recipe.optimizer)
        if not isinstance(rule, LearnedOptimizer) or isinstance(rule, Scheduled):
            raise RecipeError(f"the rule must be learned, without a schedule, got {recipe.optimizer}. Try: lstm")
        if recipe.coordinates is not None and not isinstance(rule, CoordinatewiseOptimizer):
            raise RecipeError(
                f"coordinates must be left out for {rule.name}, which is not coordinatewise, got {recipe.coordinates}. "
                "Try: --recipe sharing"
            )
        if recipe.second_order and recipe.coordinates is not None:
            raise RecipeError(
                f"coordinates must be left out with second_order, got {recipe.coordinates}. Try: --coordinates 0"
            )
        require_memory(recipe, rule)
        if group.world_size > min(recipe.functions, recipe.validation_functions):
            raise RecipeError(
                f"{group.world_size} processes for {recipe.functions} functions and {recipe.validation_functions} of "
                "validation: every process needs at least one. Try: fewer processes"
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
                    f"unroll must be at most the horizon ({horizon}) of {family.identity}, got {recipe.unroll}"
                )
            if recipe.first_horizon is not None and not recipe.unroll <= recipe.first_horizon <= horizon:
                raise RecipeError(
                    f"first_horizon must be from the unroll ({recipe.unroll}) to the horizon ({horizon}) of "
                    f"{family.identity}, got {recipe.first_horizon}"
                )
            # Points that are zero at every step are refused here, before the training begins.
            step_weights(recipe.weighting, recipe.first_horizon or horizon)

    def begin(self) -> Progress:
        """The state before the first trajectory: φ of the rule's checkpoint, or random φ by the seed."""
        random = generator(derive_seed("meta-randomness", f"{self.family}/initial", self.recipe.seed))
        phi = {name: value.to(self.device) for name, value in make_initial(self.recipe, self.rule, random).items()}
        zeros = {name: torch.zeros_like(tensor) for name, tensor in phi.items()}
        scales = loss_scales.initial_scales(self.device) if self.recipe.weighting == "learned" else {}
        return Progress(phi, zeros, dict(zeros), dict(phi), dict(phi), scales)

    def run_trajectory(self, progress: Progress) -> Progress:
        """Run one trajectory. Where its meta-gradient is not finite, φ stays what it was before.

        Args:
            progress: the state before it.

        Raises:
            MetaTrainingDiverged: it was not finite `MAX_SETBACKS` times in a row.
        """
        began = time.perf_counter()
        try:
            stepped, row = self._run_meta_steps(progress)
        except FloatingPointError as error:
            stepped, row = replace(progress, setbacks=progress.setbacks + 1), {"event": f"stepped back: {error}"}
            if stepped.setbacks == MAX_SETBACKS:
                raise MetaTrainingDiverged(
                    f"{MAX_SETBACKS} trajectories in a row gave meta-gradients that are not finite. Try: a lower --lr "
                    f"than {self.recipe.lr:g}, or a lower --clip than {self.recipe.clip:g}"
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
        """Compute the validation loss of meta-parameters; infinite if a function diverges.

        Args:
            phi: the meta-parameters by name.
        """
        count, finals, starts = self.recipe.validation_functions, [], []
        shard = self.group.shard(count)
        for family in self.validated:
            seeds = family.seeds("meta-validation", self._unit(0, count), count)[shard.first : shard.stop]
            rule = family.rule.with_meta_parameters(phi)
            losses = rollout(family.task, rule, seeds, options=RunOptions(device=self.device), evaluate=False).losses
            finals.append(self.group.mean(family.task.final_loss(losses)))
            starts.append(self.group.mean(losses[..., 0]))
        return validation_criterion(finals, starts)

    def _run_meta_steps(self, progress: Progress) -> tuple[Progress, dict[str, Any]]:
        """The meta-steps of one trajectory, and its row of the log."""
        number = progress.trajectory
        family, shard = self.family_of(number), self.group.shard(self.recipe.functions)
        problems, draws = self.functions(number, shard), self._random("coordinates", number)
        estimator = self.estimator_of(number)
        unroll_state = estimator.begin(problems, family.rule.with_meta_parameters(progress.phi), draws)
        unroll_state = replace(unroll_state, shard=shard)
        losses_by_segment, norms = [], []
        for weights in self.segments(number, progress.scales):
            if self.recipe.boundary_losses == "twice":
                losses_by_segment.append(unroll_state.carry.losses.unsqueeze(-1))
            rule = family.rule.with_meta_parameters(progress.phi)
            estimate = estimator.advance(problems, rule, unroll_state, weights / len(weights), draws)
            unroll_state = estimate.unroll_state
            losses_by_segment.append(estimate.losses)
            progress, norm = self._meta_step(progress, self.group.average(estimate.meta_grads, shard))
            norms.append(norm)
        losses = torch.cat(losses_by_segment, dim=-1)
        return replace(progress, setbacks=0, scales=self._scales(progress, losses, shard)), {
            **({"family": family.identity} if len(self.families) > 1 else {}),
            "meta_loss": self.group.mean(losses),
            "final_loss": self.group.mean(family.task.final_loss(losses)),
            "gradient_norm": sum(norms) / len(norms),
            "lr": self._lr(number),
        }

    def _meta_step(self, progress: Progress, grads: Tensors) -> tuple[Progress, float]:
        """One step of Adam on φ with the clipped meta-gradient; return its norm before clipping too.

        Raises:
            FloatingPointError: the meta-gradient is not finite.
        """
        norm = torch.stack([grad.square().sum() for grad in grads.values()]).sum().sqrt()
        if not torch.isfinite(norm):
            raise FloatingPointError(f"meta-gradient is {float(norm)} at meta-step {progress.meta_steps}")
        grads = clip_by_norm(grads, norm, self.recipe.clip)
        step, lr = progress.meta_steps + 1, self._lr(progress.trajectory)
        phi, mean, square = adam_step(progress.phi, grads, progress.mean, progress.square, step, lr)
        average = (
            phi if self.recipe.average is None else update_average(progress.average, phi, self.recipe.average, step)
        )
        return replace(progress, phi=phi, mean=mean, square=square, average=average, meta_steps=step), float(norm)

    def _scales(self, progress: Progress, losses: Tensor, shard: Shard) -> Tensors:
        """The scales after `losses [functions, settings, steps]` of a trajectory; empty unless weights are learned."""
        if not progress.scales:
            return {}
        mean = self.group.average({"losses": losses.mean((0, 1))}, shard)["losses"]
        return loss_scales.update_scales(progress.scales, mean, progress.trajectory)

    def estimator_of(self, trajectory: int) -> Estimator:
        """Give the estimator of a trajectory: the first ones may imitate a teacher.

        Args:
            trajectory: its number, from 0.
        """
        if self.imitation is not None and trajectory < self.recipe.imitation:
            return self.imitation
        return self.estimator

    def family_of(self, trajectory: int) -> Family:
        """Draw the task family of a trajectory from the mixture.

        Args:
            trajectory: its number, from 0.
        """
        if len(self.families) == 1:
            return self.families[0]
        return self.families[int(torch.randint(len(self.families), (), generator=self._random("mixture", trajectory)))]

    def functions(self, trajectory: int, shard: Shard) -> Problems:
        """Sample the functions of a trajectory that are on this rank.

        Args:
            trajectory: its number, from 0.
            shard: which functions of the meta-batch are this rank's.
        """
        family, recipe = self.family_of(trajectory), self.recipe
        first = self._unit(trajectory, recipe.functions)
        seeds = family.seeds("meta-training", first, recipe.functions)[shard.first : shard.stop]
        if recipe.coordinate_scaling is None and recipe.loss_scaling is None:
            return Problems(family.task, seeds, self.device)
        coordinates, loss = recipe.coordinate_scaling or 0.0, recipe.loss_scaling or 0.0
        return ScaledProblems(family.task, seeds, self.device, coordinates=coordinates, loss=loss)

    def weights(self, trajectory: int, scales: Tensors | None = None) -> Tensor:
        """w_1 … w_T of a trajectory, `[T]`: T grows from the recipe's first horizon to the family's.

        Args:
            trajectory: its number, from 0.
            scales: the scales of the losses, where weights are learned; else None.
        """
        horizon = self.family_of(trajectory).task.horizon
        first = self.recipe.first_horizon or horizon
        steps = round(first * (horizon / first) ** min(1.0, 2 * trajectory / self.recipe.trajectories))
        if scales:
            return loss_scales.weights_of_scales(scales, steps)
        return step_weights(self.recipe.weighting, steps).to(self.device)

    def segments(self, trajectory: int, scales: Tensors | None = None) -> tuple[Tensor, ...]:
        """Split the weights of a trajectory into truncations.

        Args:
            trajectory, scales: as `weights` takes them.

        Returns:
            Weights, `[steps]` each. With a random offset the first segment has a length of its own.
        """
        weights, unroll = self.weights(trajectory, scales), self.recipe.unroll
        if self.estimator_of(trajectory).whole:
            return (weights,)
        if not self.recipe.random_offset:
            return torch.split(weights, unroll)
        first = int(torch.randint(1, unroll + 1, (), generator=self._random("offset", trajectory)))
        rest = weights[first:]
        return (weights[:first], *torch.split(rest, unroll)) if len(rest) else (weights,)

    def _lr(self, trajectory: int) -> float:
        """The learning rate of a trajectory."""
        return decay_learning_rate(self.recipe.lr, self.recipe.final_lr, trajectory, self.recipe.trajectories)

    def _random(self, what: str, trajectory: int) -> torch.Generator:
        """A generator for one purpose in one trajectory."""
        return generator(derive_seed("meta-randomness", f"{self.family}/{what}", self._unit(trajectory, 1)))

    def _unit(self, number: int, count: int) -> int:
        """The number of the first function of a trajectory. Recipes with other seeds use other functions."""
        return self.recipe.seed * 10**9 + number * count
