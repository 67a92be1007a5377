"""Random scaling of the training functions, so that a rule works for gradients of any scale."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.tasks.base import Task, Tensors


class ScaledProblems(Problems):
    """The functions f'(θ') = s · f(θ_0 + d ⊙ (c ⊙ θ' − θ_0)), which begin at θ'_0 = θ_0 / c.

    With d = 1 they are the same functions in other units. c = exp(U[−L, L]) is drawn for each coordinate and function,
    s in the same way for each function. With scaled tensors, c has another factor exp(U[−l, l]) for each tensor, where
    l is U[0, L] for each function.

    d makes a step count for more or less than the size of the weights says, so that a rule has to learn that from the
    losses and gradients. d = exp(u + v), with u of U[−l, l] for each function and v of U[−l/2, l/2] for each tensor.
    For every second function, drawn at random, l is 0 and d is 1; for the others l is U[0, L].

    The meta-objective sees s · f: with objective=loss a function counts in proportion to s, with objective=log-ratio
    all count equally. Scales derive from the seed of each function.

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
        displacements: float = 0.0,
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
            displacements: L of d; 0: no scaling of displacements.
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
        origin = self.start
        self.start = {name: value / self._scales[name] for name, value in origin.items()}
        self._offsets: Tensors = {}
        if displacements:
            drawn = self._stack([_displacements(shapes, displacements, random) for random in randoms])
            self._scales = {name: drawn[name] * scale for name, scale in self._scales.items()}
            self._offsets = {name: (1 - drawn[name]) * value for name, value in origin.items()}

    def loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, losses_at: Tensors | None = None
    ) -> tuple[Tensor, Tensors, Tensors]:
        point = None if losses_at is None else self._unscaled(losses_at)
        losses, grads, buffers = super().loss_grad_and_buffers(self._unscaled(params), buffers, point)
        scaled = {}
        for name, grad in grads.items():
            factor = self._factors.view(-1, *[1] * (grad.ndim - 1))
            scaled[name] = factor * self._scales[name].unsqueeze(1) * grad
        return self._factors * losses, scaled, buffers

    def heldout_loss(self, params: Tensors, buffers: Tensors) -> Tensor | None:
        loss = super().heldout_loss(self._unscaled(params), buffers)
        return None if loss is None else self._factors * loss

    def _unscaled(self, params: Tensors) -> Tensors:
        """The parameters of the task's own function."""
        found = {name: value * self._scales[name].unsqueeze(1) for name, value in params.items()}
        if not self._offsets:
            return found
        return {name: value + self._offsets[name].unsqueeze(1) for name, value in found.items()}


def _displacements(shapes: Mapping[str, Sequence[int]], half_width: float, random: torch.Generator) -> Tensors:
    """d of one function, of the shape of each tensor."""
    own = half_width * max(0.0, 2 * float(torch.rand((), generator=random)) - 1)
    common = _log_uniform((1,), own, random)
    drawn = {name: common * _log_uniform((1,), own / 2, random) for name in shapes}
    return {name: drawn[name].reshape(()).expand(torch.Size(shape)) for name, shape in shapes.items()}


def _log_uniform(shape: Sequence[int], half_width: float, random: torch.Generator) -> Tensor:
    return ((2 * torch.rand(*shape, generator=random) - 1) * half_width).exp()
