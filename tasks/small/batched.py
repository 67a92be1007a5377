"""Tasks whose loss is written for all replicas at once: for small networks, several times faster than by vmap."""

from abc import abstractmethod

import torch
from torch import Tensor

from l2obench.tasks.base import Task, Tensors


class BatchedTask(Task):
    """A family that gives `losses` of replicas `[seeds, settings, ...]` in place of `loss` of one."""

    final_window = 10

    @abstractmethod
    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        """Losses of all replicas.

        Args:
            params: θ, `[seeds, settings, ...]` each.
            batch: `[seeds, ...]` each.

        Returns:
            `[seeds, settings]`.
        """

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        one = {name: value.unsqueeze(0).unsqueeze(0) for name, value in params.items()}
        return self.losses(one, {name: value.unsqueeze(0) for name, value in batch.items()}).squeeze()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        with torch.enable_grad():
            leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
            losses = self.losses(leaves, batch)
            # The gradient of the sum is that of each replica's own loss: none depends on another's parameters.
            grads = torch.autograd.grad(losses.sum(), list(leaves.values()))
        return losses.detach(), dict(zip(leaves, grads, strict=True))


def linear(x: Tensor, params: Tensors, weight: str, bias: str | None = None) -> Tensor:
    """x Wᵀ + b for each replica.

    Args:
        x: `[seeds, settings or 1, rows, inputs]`.
        params: `[seeds, settings, ...]` each.
        weight: name of W, `[outputs, inputs]` in one replica.
        bias: name of b, `[outputs]`; None: there is none.

    Returns:
        `[seeds, settings, rows, outputs]`.
    """
    product = x @ params[weight].mT
    return product if bias is None else product + params[bias].unsqueeze(-2)


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, the mean over rows.

    Args:
        logits: `[seeds, settings, rows, classes]`.
        labels: `[seeds, rows]`.

    Returns:
        `[seeds, settings]`.
    """
    index = labels.unsqueeze(1).unsqueeze(-1).expand(*logits.shape[:-1], 1)
    return -logits.log_softmax(-1).gather(-1, index).squeeze(-1).mean(-1)


def embed(table: Tensor, index: Tensor) -> Tensor:
    """Rows of each replica's table.

    Args:
        table: `[seeds, settings, rows, width]`.
        index: `[seeds, n]`, the same for all settings of a seed.

    Returns:
        `[seeds, settings, n, width]`.
    """
    where = index.unsqueeze(1).unsqueeze(-1).expand(*table.shape[:2], index.shape[1], table.shape[3])
    return table.gather(2, where)
