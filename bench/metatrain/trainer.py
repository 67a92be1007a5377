"""The meta-training loop: Adam on the meta-parameters φ over segments of new functions; the best φ is kept."""

import time
from collections.abc import Callable
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
from l2obench.bench.metatrain.estimators.objective import bounded_log_ratio
from l2obench.bench.metatrain.families import make_family
from l2obench.bench.metatrain.family_costs import FamilyCosts
from l2obench.bench.metatrain.fused_training import fuse_for_training
from l2obench.bench.metatrain.initial_meta_parameters import make_initial, require_memory
from l2obench.bench.metatrain.meta_optimizer import adam_step, clip_by_norm, decay_learning_rate, update_average
from l2obench.bench.metatrain.process_group import SINGLE_PROCESS, ProcessGroup, Shard
from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.trajectories import Trajectories
from l2obench.bench.metatrain.validation import validation_criterion
from l2obench.bench.metatrain.weighting import step_weights
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.foundation.tensors import Tensors, flatten, unflatten
from l2obench.optimizers.base import CoordinatewiseOptimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.scheduled import Scheduled

OnValidation = Callable[[str, Tensor], Any]

MAX_SETBACKS = 5
"""Trajectories in a row whose meta-gradient is not finite, after which a training ends."""


def ignore_validation(identity: str, losses: Tensor) -> None:
    """Do nothing with the losses of a validation.

    Args:
        identity: of the family.
        losses: its losses.
    """


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
        if recipe.fused:
            rule = fuse_for_training(rule, device)
        require_memory(recipe, rule)
        joint = recipe.families > 1
        shared, count = ("families", recipe.families) if joint else ("functions", recipe.functions)
        if group.world_size > min(count, recipe.validation_functions):
            raise RecipeError(
                f"{group.world_size} processes for {count} {shared} and {recipe.validation_functions} of validation: "
                "every process needs at least one. Try: fewer processes"
            )
        self.estimator = make_estimator(recipe)
        self.imitation = make_imitation(recipe)
        self.families = [make_family(identity, rule) for identity in recipe.mixture or (recipe.task,)]
        self.trajectories = Trajectories(recipe, self.families, self.task, device)
        self.costs = FamilyCosts()
        if recipe.heldout_share and not any(family.may_have_heldout_loss for family in self.families):
            raise RecipeError(
                f"heldout_share must be 0 where no family has held-out examples, got {recipe.heldout_share:g}. "
                "Try: --heldout-share 0, or families that have some, as -t 'perceptron[fold=0]'"
            )
        names = recipe.validation or recipe.mixture or (recipe.task,)
        self.validated = [make_family(identity, rule) for identity in names]
        self.rule = make_family(recipe.task, rule).rule
        for family in self.families:
            horizon = recipe.min_horizon or family.task.horizon
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
        name = f"{identify_functions(self.task)}/initial"
        random = generator(derive_seed("meta-randomness", name, self.recipe.seed))
        phi = {name: value.to(self.device) for name, value in make_initial(self.recipe, self.rule, random).items()}
        zeros = {name: torch.zeros_like(tensor) for name, tensor in phi.items()}
        scales = loss_scales.initial_scales(self.device) if self.recipe.weighting == "learned" else {}
        return Progress(phi, zeros, dict(zeros), dict(phi), dict(phi), scales)

    def run_trajectory(self, progress: Progress, on_validation: OnValidation = ignore_validation) -> Progress:
        """Run one trajectory. Where its meta-gradient is not finite, φ stays what it was before.

        Args:
            progress: the state before it.
            on_validation: as `validate` takes it.

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
            row["validation"] = self.validate(stepped.average, on_validation)
            if row["validation"] < stepped.best_validation:
                stepped = replace(stepped, best=stepped.average, best_validation=row["validation"])
        seconds = time.perf_counter() - began
        log = [*progress.log, {"trajectory": progress.trajectory, "seconds": seconds, **row}]
        return replace(stepped, seconds=progress.seconds + seconds, log=log)

    @torch.no_grad()
    def validate(self, phi: Tensors, on_validation: OnValidation = ignore_validation) -> float:
        """Compute the validation loss of meta-parameters; infinite if a function diverges.

        Args:
            phi: the meta-parameters by name.
            on_validation: called with each family's identity, and its losses `[functions, 1, steps + 1]` on the
                functions of this process.
        """
        count, finals, starts = self.recipe.validation_functions, [], []
        shard = self.group.shard(count)
        for family in self.validated:
            seeds = family.seeds("meta-validation", self.trajectories.unit(0, count), count)[shard.first : shard.stop]
            rule = family.rule.with_meta_parameters(phi)
            losses = rollout(family.task, rule, seeds, options=RunOptions(device=self.device), evaluate=False).losses
            on_validation(family.identity, losses)
            finals.append(self.group.mean(family.task.final_loss(losses)))
            starts.append(self.group.mean(losses[..., 0]))
        return validation_criterion(finals, starts)

    def _run_meta_steps(self, progress: Progress) -> tuple[Progress, dict[str, Any]]:
        """The meta-steps of one trajectory, and its row of the log."""
        number, trajectories = progress.trajectory, self.trajectories
        if self.recipe.families > 1:
            return self._run_joint_meta_step(progress)
        family, shard = trajectories.family(number), self.group.shard(self.recipe.functions)
        problems, draws = trajectories.functions(number, shard), trajectories.random("coordinates", number)
        estimator = self.estimator_of(number)
        unroll_state = estimator.begin(problems, family.rule.with_meta_parameters(progress.phi), draws)
        unroll_state = replace(unroll_state, shard=shard)
        losses_by_segment, norms = [], []
        for weights in trajectories.segments(number, progress.scales, whole=estimator.whole):
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

    def _run_joint_meta_step(self, progress: Progress) -> tuple[Progress, dict[str, Any]]:
        """One meta-step over whole trajectories of several families, and its row of the log.

        The processes take families one after another, those with the dearest steps first. Its meta-loss and final loss
        are ratios to the loss at the start, geometric means, since families differ in scale.
        """
        count, number = self.recipe.families, progress.trajectory
        names = [self.trajectories.draw_family(count * number + k).identity for k in range(count)]
        order, horizon = self.costs.longest_first(names), self.trajectories.family(count * number).task.horizon
        rows = torch.zeros(count, flatten(progress.phi).numel() + 2, device=self.device)
        seconds = torch.zeros(count, dtype=torch.float64)
        for claimed in self.group.claim(str(number), count):
            k, began = order[claimed], time.perf_counter()
            rows[k] = self._whole_trajectory(progress, count * number + k)
            seconds[k] = time.perf_counter() - began
        # The rows of other processes are zero here, so it changes no bit which process had which family.
        rows = self.group.sum(rows)
        self.costs.learn(names, (self.group.sum(seconds) / horizon).tolist())
        progress, norm = self._meta_step(progress, unflatten(rows[:, :-2].mean(0), progress.phi))
        meta_loss, final_loss = rows[:, -2:].exp().mean(0).tolist()
        return replace(progress, setbacks=0), {
            "horizon": horizon,
            "meta_loss": meta_loss,
            "final_loss": final_loss,
            "gradient_norm": norm,
            "lr": self._lr(number),
        }

    def _whole_trajectory(self, progress: Progress, number: int) -> Tensor:
        """The meta-gradient of a whole trajectory, then mean logs of its losses over the first: of all, and final."""
        family, functions = self.trajectories.family(number), self.recipe.functions
        problems = self.trajectories.functions(number, Shard(0, functions, functions))
        rule, draws = family.rule.with_meta_parameters(progress.phi), self.trajectories.random("coordinates", number)
        unroll_state = self.estimator.begin(problems, rule, draws)
        (weights,) = self.trajectories.segments(number, whole=True)
        estimate = self.estimator.advance(problems, rule, unroll_state, weights / len(weights), draws)
        ratios = bounded_log_ratio(estimate.losses, unroll_state.history, self.recipe.least_ratio)
        final = family.task.final_loss(ratios)
        grads = {name: estimate.meta_grads[name] for name in progress.phi}
        return torch.cat([flatten(grads), torch.stack([ratios.mean(), final.mean()])])

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

    def _lr(self, trajectory: int) -> float:
        """The learning rate of a trajectory."""
        return decay_learning_rate(self.recipe.lr, self.recipe.final_lr, trajectory, self.recipe.trajectories)
