"""A small transformer as a language model of characters: attention, layer norm and embeddings."""

from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding, gelu, layer_norm, linear

from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.data.unicode_names import ALPHABET, codes, draw_windows, unicode_names_sources, windows_at
from l2obench.tasks.modules.batching import FEW

# The inner width of a block's perceptron, in multiples of its width (Vaswani et al. 2017, section 3.3).
EXPANSION = 4


class CharTransformer(Task):
    """Predict the next character of a text: cross-entropy in nats over all places of windows drawn at random.

    The text is the list of names of Unicode's characters (`tasks/data/unicode_names.py`), 39 different characters.
    Parameters `embed.characters [39, width]`, `embed.places [context, width]`; in
    block k `attention{k}.gain`, `.shift [width]`, `.qkv [3 width, width]`, `.qkv_bias`, `.out [width, width]`,
    `.out_bias`, and `mlp{k}.gain`, `.shift`, `.in [4 width, width]`, `.in_bias`, `.out [width, 4 width]`, `.out_bias`;
    `head.gain`, `head.shift`, `head.weight [39, width]`, `head.bias`.

    The held-out loss and accuracy are those of all places in consecutive windows of the test pieces.

    Source: Vaswani et al. 2017, "Attention is all you need", decoder only, with layer norm before each part and learned
    places as in Radford et al. 2019 (GPT-2), all at small widths.
    """

    name: ClassVar[str] = "char-transformer"
    final_window: ClassVar[int] = 10

    horizon: int = Field(default=500, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    layers: int = Field(default=1, ge=1, le=16)
    """Number of blocks."""
    width: int = Field(default=32, ge=1, le=1024)
    """Width of the residual stream."""
    heads: int = Field(default=4, ge=1, le=64)
    """Attention heads, which share the width between them."""
    context: int = Field(default=32, ge=1, le=512)
    """Characters in a window: what a prediction can look back on."""
    batch: int = Field(default=16, ge=1, le=4096)
    """Windows in a minibatch."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """Weights and embeddings of θ₀ ~ N(0, scale²); biases and shifts start at 0, gains at 1."""

    @model_validator(mode="after")
    def _check_heads(self) -> "CharTransformer":
        if self.width % self.heads:
            raise ValueError(f"width={self.width} is no multiple of heads={self.heads}; give one that is")
        return self

    def sample(self, generator: torch.Generator) -> Problem:
        width, inner = self.width, EXPANSION * self.width

        def random(*shape: int) -> Tensor:
            return self.scale * torch.randn(shape, generator=generator)

        params = {"embed.characters": random(len(ALPHABET), width), "embed.places": random(self.context, width)}
        for k in range(self.layers):
            params |= _norm_params(f"attention{k}", width)
            params |= {f"attention{k}.qkv": random(3 * width, width), f"attention{k}.qkv_bias": torch.zeros(3 * width)}
            params |= {f"attention{k}.out": random(width, width), f"attention{k}.out_bias": torch.zeros(width)}
            params |= _norm_params(f"mlp{k}", width)
            params |= {f"mlp{k}.in": random(inner, width), f"mlp{k}.in_bias": torch.zeros(inner)}
            params |= {f"mlp{k}.out": random(width, inner), f"mlp{k}.out_bias": torch.zeros(width)}
        params |= _norm_params("head", width)
        params |= {"head.weight": random(len(ALPHABET), width), "head.bias": torch.zeros(len(ALPHABET))}
        return Problem(params)

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        return draw_windows(generator, steps, self.batch, self.context)

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`text [seeds, batch, context + 1]`, the same for all settings of a seed."""
        return windows_at(draw["start"], self.context)

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        logits = self._logits(params, batch["text"][:, :-1])
        return cross_entropy(logits.flatten(0, 1), batch["text"][:, 1:].flatten())

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        first = params["head.bias"]
        seeds, settings = first.shape[:2]
        # Few replicas are faster one after the other on a CPU (docs/performance.md). A compiled program has no loop.
        if seeds * settings >= FEW or first.is_cuda or torch.compiler.is_compiling():
            return super().loss_and_grad(params, batch)
        losses = first.new_empty(seeds, settings)
        grads = {name: torch.empty_like(value) for name, value in params.items()}
        for seed in range(seeds):
            minibatch = {name: value[seed] for name, value in batch.items()}
            for setting in range(settings):
                own = {name: value[seed, setting].detach().requires_grad_() for name, value in params.items()}
                with torch.enable_grad():
                    loss = self.loss(own, minibatch)
                    found = torch.autograd.grad(loss, list(own.values()))
                losses[seed, setting] = loss.detach()
                for name, grad in zip(own, found, strict=True):
                    grads[name][seed, setting] = grad
        return losses, grads

    def activation_bytes(self) -> float:
        """Float32 numbers at each place, of the blocks and of the logits; measured peaks are within a quarter."""
        block = 30 * self.width + 5 * self.heads * self.context
        return 4 * self.batch * self.context * (self.layers * block + 5 * len(ALPHABET))

    def evaluate(self, params: Tensors) -> Tensors:
        first = params["head.bias"]
        seeds, settings = first.shape[:2]
        windows = codes("test", first.device).unfold(0, self.context + 1, self.context)
        measures = first.new_empty(2, seeds, settings)
        for seed in range(seeds):
            for setting in range(settings):
                replica = {name: value[seed, setting] for name, value in params.items()}
                logits, target = self._logits(replica, windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()
                measures[0, seed, setting] = cross_entropy(logits, target)
                measures[1, seed, setting] = (logits.argmax(1) == target).to(first.dtype).mean()
        return {"loss": measures[0], "accuracy": measures[1]}

    def sources(self) -> dict[str, Any]:
        return unicode_names_sources()

    def _logits(self, params: Tensors, text: Tensor) -> Tensor:
        """What follows each place, `[windows, places, 39]`, in `text [windows, places]`."""
        h = embedding(text, params["embed.characters"]) + params["embed.places"]
        for k in range(self.layers):
            h = h + self._attention(params, f"attention{k}", h)
            inner = gelu(linear(_normed(params, f"mlp{k}", h), params[f"mlp{k}.in"], params[f"mlp{k}.in_bias"]))
            h = h + linear(inner, params[f"mlp{k}.out"], params[f"mlp{k}.out_bias"])
        return linear(_normed(params, "head", h), params["head.weight"], params["head.bias"])

    def _attention(self, params: Tensors, part: str, h: Tensor) -> Tensor:
        """Causal self-attention, `[windows, places, width]` from the same."""
        windows, places, width = h.shape
        qkv = linear(_normed(params, part, h), params[f"{part}.qkv"], params[f"{part}.qkv_bias"])
        q, k, v = qkv.view(windows, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        future = torch.full((places, places), -torch.inf, dtype=h.dtype, device=h.device).triu(1)
        weights = (q @ k.mT / (width / self.heads) ** 0.5 + future).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).flatten(2)
        return linear(mixed, params[f"{part}.out"], params[f"{part}.out_bias"])


def _norm_params(part: str, width: int) -> Tensors:
    return {f"{part}.gain": torch.ones(width), f"{part}.shift": torch.zeros(width)}


def _normed(params: Tensors, part: str, h: Tensor) -> Tensor:
    return layer_norm(h, h.shape[-1:], params[f"{part}.gain"], params[f"{part}.shift"])
