"""The CIFAR network for one replica: its logits, its gradient by hand, and the statistics of its batch norms.

Parameters are those that `l2obench.tasks.cifar.CifarCnn` lists.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, max_pool2d, one_hot

from l2obench.foundation.tensors import Tensors
from l2obench.tasks.convolution import Layer, backward, forward

CONVOLUTIONS = 3
# Units of the fully connected layer (Andrychowicz et al. 2016, section 3.3).
HIDDEN = 32

Statistics = tuple[Tensor, Tensor] | None
"""Mean and variance of each channel, or nothing: those of the images at hand."""


def logits_of(params: Tensors, x: Tensor, statistics: list[Statistics]) -> Tensor:
    """Logits `[batch, labels]` of images `[batch, 3, 32, 32]`.

    Args:
        params: of one replica.
        x: images, in -1..1.
        statistics: what each batch norm uses; None: the mean and the variance of `x` itself.
    """
    for k in range(CONVOLUTIONS):
        z = conv2d(x, params[f"conv{k}.weight"], padding=1)
        mean, variance = statistics[k] or (None, None)
        gain, shift = params[f"conv{k}.gain"], params[f"conv{k}.shift"]
        x = max_pool2d(batch_norm(z, mean, variance, gain, shift, training=mean is None).relu(), 2)
    h = (x.flatten(1) @ params["fc0.weight"].mT + params["fc0.bias"]).relu()
    return h @ params["fc1.weight"].mT + params["fc1.bias"]


def for_each_replica(
    gradient: Callable[[Tensors, Tensor, Tensor], tuple[Tensor, Tensors]], params: Tensors, batch: Tensors
) -> tuple[Tensor, Tensors]:
    """Losses `[seeds, settings]` and gradients of all replicas, computed one after the other.

    Args:
        gradient: loss and gradient of one replica, from its parameters, images and labels.
        params: `[seeds, settings, ...]` each.
        batch: `x [seeds, batch, 3, 32, 32]` and `y [seeds, batch]`.
    """
    first = next(iter(params.values()))
    seeds, settings = first.shape[:2]
    losses = first.new_empty(seeds, settings)
    grads = {name: torch.empty_like(value) for name, value in params.items()}
    for seed in range(seeds):
        x = batch["x"][seed].contiguous(memory_format=torch.channels_last)
        for setting in range(settings):
            replica = {name: value[seed, setting] for name, value in params.items()}
            losses[seed, setting], found = gradient(replica, x, batch["y"][seed])
            for name, grad in found.items():
                grads[name][seed, setting] = grad
    return losses, grads


def loss_and_grad_by_hand(params: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors]:
    """Loss and gradient of one replica, without autograd: `torch.compile` can fuse its passes.

    Args:
        params: of one replica.
        x: images `[batch, 3, 32, 32]`, in -1..1.
        y: labels `[batch]`.
    """
    layers: list[Layer] = []
    h = x.permute(0, 2, 3, 1)
    for k in range(CONVOLUTIONS):
        layers.append(forward(h, *(params[f"conv{k}.{part}"] for part in ("weight", "gain", "shift"))))
        h = layers[-1].out
    images = h.permute(0, 3, 1, 2)
    flat = images.flatten(1)
    hidden = (flat @ params["fc0.weight"].mT + params["fc0.bias"]).relu()
    log_p = (hidden @ params["fc1.weight"].mT + params["fc1.bias"]).log_softmax(1)
    target = one_hot(y, log_p.shape[1]).to(log_p.dtype)

    delta = (log_p.exp() - target) / len(y)
    grads = {"fc1.weight": delta.mT @ hidden, "fc1.bias": delta.sum(0)}
    delta = (delta @ params["fc1.weight"]) * (hidden > 0)
    grads |= {"fc0.weight": delta.mT @ flat, "fc0.bias": delta.sum(0)}
    to_out = (delta @ params["fc0.weight"]).view(images.shape).permute(0, 2, 3, 1)
    for k in reversed(range(CONVOLUTIONS)):
        to_out, found = backward(layers[k], to_out, needs_x=k > 0)
        grads |= {f"conv{k}.{part}": grad for part, grad in found.items()}
    return -(log_p * target).sum(1).mean(), grads


def channel_statistics(params: Tensors, x: Tensor) -> list[Statistics]:
    """What batch norm would use in each layer for these images.

    Args:
        params: of one replica.
        x: images `[n, 3, 32, 32]`, in −1..1.

    Returns:
        For each layer the means and the variances `[channels]`.
    """
    found: list[Statistics] = []
    for k in range(CONVOLUTIONS):
        z = conv2d(x, params[f"conv{k}.weight"], padding=1)
        mean, variance = z.mean(dim=(0, 2, 3)), z.var(dim=(0, 2, 3), unbiased=False)
        found.append((mean, variance))
        normal = batch_norm(z, mean, variance, params[f"conv{k}.gain"], params[f"conv{k}.shift"])
        x = max_pool2d(normal.relu(), 2)
    return found
