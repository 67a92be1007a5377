"""A very small transformer as a language model of characters, its embeddings tied to its output or not."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.data.unicode_names import ALPHABET, draw_windows, unicode_names_sources, windows_at
from l2obench.tasks.small.batched import BatchedTask, embed, linear, mean_cross_entropy
from l2obench.tasks.small.starts import Initialisation, initial_weights

EXPANSION = 2
"""The inner width of a block's perceptron, in multiples of its width."""


class CharAttention(BatchedTask):
    """Predict the next character of a text by causal attention: cross-entropy in nats over all places.

    Text and architecture are those of `char-transformer`, with two heads, inner widths of twice the width, and, where
    `tied`, the embedding as the output layer. Parameters `characters [39, width]`, `places [context, width]`; in block
    k `gain{k}.0`, `shift{k}.0`, `qkv{k} [3 width, width]`, `out{k} [width, width]`, `gain{k}.1`, `shift{k}.1`,
    `up{k} [2 width, width]`, `up_bias{k}`, `down{k} [width, 2 width]`, `down_bias{k}`; `gain`, and `head [39, width]`.

    Source: as `char-transformer`; tied embeddings: Press & Wolf 2017.
    """

    name: ClassVar[str] = "char-attention"

    horizon: int = Field(default=300, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    layers: int = Field(default=1, ge=1, le=16)
    """Number of blocks."""
    width: int = Field(default=16, ge=2, le=1024, multiple_of=2)
    """Width of the residual stream."""
    context: int = Field(default=12, ge=1, le=512)
    """Characters in a window: what a prediction can look back on."""
    tied: bool = False
    """Whether the output layer is the embedding."""
    batch: int = Field(default=8, ge=1, le=4096)
    """Windows in a minibatch."""
    initialisation: Initialisation = "small"
    """How θ₀ is drawn; embeddings are N(0, 0.02²) with `small` or where tied, else N(0, 1). Gains start at 1."""

    def sample(self, generator: torch.Generator) -> Problem:
        width, inner = self.width, EXPANSION * self.width

        def weights(*shape: int) -> Tensor:
            return initial_weights(self.initialisation, generator, *shape)

        scale = 0.02 if self.initialisation == "small" or self.tied else 1.0
        params = {
            "characters": scale * torch.randn(len(ALPHABET), width, generator=generator),
            "places": scale * torch.randn(self.context, width, generator=generator),
        }
        for k in range(self.layers):
            for part in range(2):
                params |= {f"gain{k}.{part}": torch.ones(width), f"shift{k}.{part}": torch.zeros(width)}
            params |= {f"qkv{k}": weights(3 * width, width), f"out{k}": weights(width, width)}
            params |= {f"up{k}": weights(inner, width), f"up_bias{k}": torch.zeros(inner)}
            params |= {f"down{k}": weights(width, inner), f"down_bias{k}": torch.zeros(width)}
        params["gain"] = torch.ones(width)
        return Problem(params if self.tied else params | {"head": weights(len(ALPHABET), width)})

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        return draw_windows(generator, steps, self.batch, self.context)

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`text [seeds, batch, context + 1]`, the same for all settings of a seed."""
        return windows_at(draw["start"], self.context)

    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        text = batch["text"]
        places = params["places"].repeat(1, 1, text.shape[1], 1)
        h = embed(params["characters"], text[..., :-1].flatten(1)) + places
        future = torch.full((self.context, self.context), -torch.inf, device=h.device, dtype=h.dtype).triu(1)
        for k in range(self.layers):
            h = h + self._attention(_normed(h, params, f"gain{k}.0", f"shift{k}.0"), params, k, future)
            inner = gelu(linear(_normed(h, params, f"gain{k}.1", f"shift{k}.1"), params, f"up{k}", f"up_bias{k}"))
            h = h + linear(inner, params, f"down{k}", f"down_bias{k}")
        logits = linear(_normed(h, params, "gain"), params, "characters" if self.tied else "head")
        return mean_cross_entropy(logits, text[..., 1:].flatten(1))

    def _attention(self, x: Tensor, params: Tensors, block: int, future: Tensor) -> Tensor:
        """`[seeds, settings, batch · context, width]` from the same."""
        seeds, settings, _, width = x.shape
        qkv = linear(x, params, f"qkv{block}").view(seeds, settings, -1, self.context, 3, 2, width // 2)
        q, k, v = qkv.permute(4, 0, 1, 2, 5, 3, 6)  # [seeds, settings, batch, heads, context, width of a head]
        weights = (q @ k.mT / q.shape[-1] ** 0.5 + future).softmax(-1)
        return linear((weights @ v).transpose(3, 4).flatten(4).flatten(2, 3), params, f"out{block}")

    def sources(self) -> dict[str, Any]:
        return unicode_names_sources()


def _normed(x: Tensor, params: Tensors, gain: str, shift: str | None = None) -> Tensor:
    normed = layer_norm(x, x.shape[-1:]) * params[gain].unsqueeze(-2)
    return normed if shift is None else normed + params[shift].unsqueeze(-2)
