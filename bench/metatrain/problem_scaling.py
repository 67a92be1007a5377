"""Random scaling of the training functions, so that a rule works for gradients of any scale."""

from collections.abc import Sequence

import torch
from torch import Tensor

from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.tasks.base import Task, Tensors


class ScaledProblems(Problems):
    """The functions f'(θ') = s · f(c ⊙ θ'), which begin at θ'_0 = θ_0 / c: the same functions in other units.

    c = exp(U[−L, L]) is drawn for each coordinate and function, s in the same way for each function. With scaled
    tensors, c has another factor exp(U[−l, l]) for each tensor, where l is U[0, L] for each function. The
    meta-objective sees s · f: with objective=loss a function counts in proportion to s, with objective=log-ratio all
    count equally. Scales derive from the seed of each function.

    Source: Lv et al. 2017 (random scaling), for c.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        coordinates: float = 0.0,
        tensors: float = 0.0,
        loss: float = 0.0,
    ) -> None:
        """Take the arguments of `Problems`, and the widths of the scalings.

        Args:
            task: the family.
            seeds: one for each function.
            device: the torch device.
            dtype: of parameters, data and losses.
            coordinates: L of c; 0: no scaling of coordinates.
            tensors: L of the factor for each tensor; 0: no scaling of tensors.
            loss: L of s; 0: no scaling of losses.
        """
        super().__init__(task, seeds, device, dtype)
        randoms = [generator(derive_seed("meta-randomness", "scales", seed)) for seed in seeds]
        shapes = {name: value.shape[1:] for name, value in self.start.items()}
        self._scales = self._stack(
            [{name: _log_uniform(shape, coordinates, random) for name, shape in shapes.items()} for random in randoms]
        )
        if tensors:
            for number, random in enumerate(randoms):
                half_width = tensors * float(torch.rand((), generator=random))
                for name in shapes:
                    self._scales[name][number] *= _log_uniform((1,), half_width, random).to(device, dtype)
        self._factors = self._stack([{"s": _log_uniform((1,), loss, random)} for random in randoms])["s"]
        self.start = {name: value / self._scales[name] for name, value in self.start.items()}

    def loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, losses_at: Tensors | None = None
    ) -> tuple[Tensor, Tensors, Tensors]:
        scales = {name: scale.unsqueeze(1) for name, scale in self._scales.items()}

        def unscaled(values: Tensors) -> Tensors:
            return {name: value * scales[name] for name, value in values.items()}

        point = None if losses_at is None else unscaled(losses_at)
        losses, grads, buffers = super().loss_grad_and_buffers(unscaled(params), buffers, point)
        scaled = {}
        for name, grad in grads.items():
            factor = self._factors.view(-1, *[1] * (grad.ndim - 1))
            scaled[name] = factor * scales[name] * grad
        return self._factors * losses, scaled, buffers


def _log_uniform(shape: Sequence[int], half_width: float, random: torch.Generator) -> Tensor:
    return ((2 * torch.rand(*shape, generator=random) - 1) * half_width).exp()
