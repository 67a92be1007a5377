"""What each trajectory of a meta-training is made of: its family, functions, horizon, weights and truncations.

All of it derives from the number of the trajectory, so a training resumes with the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import identify_functions
from l2obench.bench.metatrain import loss_scales
from l2obench.bench.metatrain.families import Family
from l2obench.bench.metatrain.problem_scaling import ScaledProblems
from l2obench.bench.metatrain.process_group import Shard
from l2obench.bench.metatrain.weighting import step_weights
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.tasks.base import Task, Tensors


@dataclass(frozen=True)
class Trajectories:
    """The trajectories of one recipe, by their number from 0.

    A meta-step over several families takes as many numbers: those of trajectory k begin at k times their count.
    """

    recipe: Recipe
    families: Sequence[Family]
    """Of the mixture, or of the one task."""
    task: Task
    """What the recipe trains on first; all randomness derives from its identity."""
    device: str = "cpu"

    def draw_family(self, number: int) -> Family:
        """Draw the task family of a trajectory from the mixture.

        Args:
            number: its number, from 0.
        """
        if len(self.families) == 1:
            return self.families[0]
        chosen = torch.randint(len(self.families), (), generator=self.random("mixture", number))
        return self.families[int(chosen)]

    def family(self, number: int) -> Family:
        """The task family of a trajectory, with the horizon of this trajectory.

        Args:
            number: its number, from 0.
        """
        family = self.draw_family(number)
        horizon = self._horizon(number // self.recipe.families)
        if horizon is None:
            return family
        return replace(family, task=family.task.model_copy(update={"horizon": horizon}))

    def functions(self, number: int, shard: Shard) -> Problems:
        """Sample the functions of a trajectory that are on this rank.

        Args:
            number: its number, from 0.
            shard: which functions of the meta-batch are this rank's.
        """
        family, recipe = self.family(number), self.recipe
        first = self.unit(number, recipe.functions)
        seeds = family.seeds("meta-training", first, recipe.functions)[shard.first : shard.stop]
        coordinates, tensors = recipe.coordinate_scaling or 0.0, recipe.tensor_scaling or 0.0
        displacements, loss = recipe.displacement_scaling or 0.0, recipe.loss_scaling or 0.0
        if not coordinates + tensors + displacements + loss:
            return Problems(family.task, seeds, self.device)
        return ScaledProblems(
            family.task,
            seeds,
            self.device,
            coordinates=coordinates,
            tensors=tensors,
            displacements=displacements,
            loss=loss,
        )

    def weights(self, number: int, scales: Tensors | None = None) -> Tensor:
        """w_1 … w_T of a trajectory, `[T]`: T grows from the recipe's first horizon to the family's.

        Args:
            number: its number, from 0.
            scales: the scales of the losses, where weights are learned; else None.
        """
        horizon = self.family(number).task.horizon
        first = self.recipe.first_horizon or horizon
        steps = round(first * (horizon / first) ** min(1.0, 2 * number / self.recipe.trajectories))
        if scales:
            return loss_scales.weights_of_scales(scales, steps)
        return step_weights(self.recipe.weighting, steps).to(self.device)

    def segments(self, number: int, scales: Tensors | None = None, *, whole: bool = False) -> tuple[Tensor, ...]:
        """Split the weights of a trajectory into truncations.

        Args:
            number, scales: as `weights` takes them.
            whole: the trajectory is one segment.

        Returns:
            Weights, `[steps]` each. With a random offset the first segment has a length of its own.
        """
        weights, unroll = self.weights(number, scales), self.recipe.unroll
        if whole:
            return (weights,)
        if not self.recipe.random_offset:
            return torch.split(weights, unroll)
        first = int(torch.randint(1, unroll + 1, (), generator=self.random("offset", number)))
        rest = weights[first:]
        return (weights[:first], *torch.split(rest, unroll)) if len(rest) else (weights,)

    def random(self, what: str, number: int) -> torch.Generator:
        """A generator for one purpose in one trajectory.

        Args:
            what: the purpose.
            number: of the trajectory.
        """
        return generator(
            derive_seed("meta-randomness", f"{identify_functions(self.task)}/{what}", self.unit(number, 1))
        )

    def unit(self, number: int, count: int) -> int:
        """The number of the first function of a trajectory. Recipes with other seeds use other functions.

        Args:
            number: of the trajectory.
            count: functions of each trajectory.
        """
        return self.recipe.seed * 10**9 + number * count

    def _horizon(self, meta_step: int) -> int | None:
        """T of a meta-step, the same for all its families and processes; None: the recipe leaves it to the families."""
        low, high = self.recipe.min_horizon, self.recipe.max_horizon
        if low is None or high is None:
            return None
        place = float(torch.rand((), generator=self.random("horizon", meta_step)))
        return round(float(low * (high / low) ** place))
