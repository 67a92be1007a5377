"""The CNN's layer by hand, forward and backward: 3×3 convolution, batch norm, ReLU, 2×2 max pooling.

Batch norm and ReLU are monotone in each channel, so pooling may come first: a quarter of the values is left to
normalise, and the gradient of batch norm takes one pass over the others. A channel with a negative gain is turned round
(filters and gain change sign), so that the largest stays the largest. Both passes are written to be fused by
`torch.compile`; run eagerly they are no faster than autograd over torch's own layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

# Added to a variance, as torch's batch norm does: a channel of one value would give infinity.
EPSILON = 1e-5


@dataclass(frozen=True)
class Layer:
    """A layer's output, and what its backward pass needs. Images are `[batch, height, width, channels]` here."""

    out: Tensor
    """The layer's output, half as high and wide as `x`."""
    x: Tensor
    filters: Tensor
    """The weights, turned round where the gain is negative."""
    sign: Tensor
    z: Tensor
    """The convolution, but for a constant in each channel."""
    mean: Tensor
    rstd: Tensor
    scale: Tensor
    largest: Tensor
    """Of each four neighbours in `z`; it is the first of equals, row by row, as in torch."""
    right: Tensor
    """1 where the right one of two neighbours is larger, `[batch, height, width / 2, channels]`."""
    below: Tensor
    """1 where the lower one of two such larger ones is, `[batch, height / 2, width / 2, channels]`."""


def forward(x: Tensor, weight: Tensor, gain: Tensor, shift: Tensor) -> Layer:
    """One layer over a minibatch of images.

    Args:
        x: `[batch, height, width, inputs]`; height and width are even.
        weight: `[channels, inputs, 3, 3]`.
        gain: of the batch norm, `[channels]`.
        shift: likewise.
    """
    sign = torch.where(gain < 0, -1.0, 1.0).to(gain.dtype)
    filters = weight * sign[:, None, None, None]
    # z is kept near its mean, so that the variance is no small difference of large numbers.
    offset = -(filters.sum((2, 3)) @ x[0].mean((0, 1)))
    z = conv2d(x.permute(0, 3, 1, 2), filters, offset, padding=1).permute(0, 2, 3, 1)
    left, right = z[:, :, 0::2], z[:, :, 1::2]
    across = torch.maximum(left, right)
    above, below = across[:, 0::2], across[:, 1::2]
    largest = torch.maximum(above, below)
    mean = z.mean((0, 1, 2))
    rstd = (z.square().mean((0, 1, 2)) - mean.square() + EPSILON).clamp_min(EPSILON).rsqrt()
    scale = sign * gain * rstd
    out = (largest * scale + (shift - scale * mean)).relu()
    moved_right, moved_below = (right > left).to(z.dtype), (below > above).to(z.dtype)
    return Layer(out, x, filters, sign, z, mean, rstd, scale, largest, moved_right, moved_below)


def backward(layer: Layer, grad: Tensor, needs_x: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Gradients of one layer.

    Args:
        layer: from `forward`.
        grad: the loss's derivative in `layer.out`.
        needs_x: whether that in `x` is needed; the first layer's is not.

    Returns:
        The derivative in `x` (zeros unless it is needed), and those in `weight`, `gain` and `shift` by name.
    """
    grad = grad * (layer.out > 0)
    to_shift = grad.sum((0, 1, 2))
    to_gain = ((grad * layer.largest).sum((0, 1, 2)) - layer.mean * to_shift) * layer.rstd
    # Batch norm: scale · (g − mean g − ẑ · mean(g ẑ)), where g is zero but at the largest of each four.
    count = layer.z.numel() / layer.z.shape[-1]
    slope = -layer.scale * layer.rstd * to_gain / count
    constant = -layer.scale * to_shift / count - slope * layer.mean
    pooled = grad * layer.scale
    low = pooled * layer.below
    rows = torch.stack([pooled - low, low], 2).flatten(1, 2)
    right = rows * layer.right
    to_z = torch.stack([rows - right, right], 3).flatten(2, 3) + slope * layer.z + constant
    to_x, to_filters, _ = torch.ops.aten.convolution_backward(
        to_z.permute(0, 3, 1, 2),
        layer.x.permute(0, 3, 1, 2),
        layer.filters,
        None,
        stride=[1, 1],
        padding=[1, 1],
        dilation=[1, 1],
        transposed=False,
        output_padding=[0, 0],
        groups=1,
        output_mask=[needs_x, True, False],
    )
    grads = {"weight": to_filters * layer.sign[:, None, None, None], "gain": layer.sign * to_gain, "shift": to_shift}
    return to_x.permute(0, 2, 3, 1) if needs_x else torch.zeros_like(layer.x), grads
