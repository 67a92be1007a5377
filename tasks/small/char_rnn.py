"""A recurrent network as a language model of characters."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.data.unicode_names import ALPHABET, draw_windows, unicode_names_sources, windows_at
from l2obench.tasks.small.batched import BatchedTask, embed, linear, mean_cross_entropy


class CharRnn(BatchedTask):
    """Predict the next character of a text by a GRU, or by a plain recurrent layer with tanh: cross-entropy in nats.

    The text is that of `char-transformer`. Parameters `embed [39, width]`, `in.weight [gates · units, width]`,
    `hidden.weight [gates · units, units]`, `in.bias [gates · units]`, `out.weight [39, units]`, `out.bias [39]`, with
    three gates in a GRU and one otherwise. θ₀ is U(±1/√units), as in `torch.nn.GRU`; embeddings are N(0, 1).

    Source: Cho et al. 2014 for the GRU, with the reset gate after the product as in `torch.nn.GRU`.
    """

    name: ClassVar[str] = "char-rnn"

    horizon: int = Field(default=300, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    cell: Literal["gru", "tanh"] = "gru"
    """`gru`: gated; `tanh`: h ← tanh(W x + U h + b)."""
    width: int = Field(default=12, ge=1, le=1024)
    """Width of the embeddings."""
    units: int = Field(default=32, ge=1, le=1024)
    """Width of the recurrent layer."""
    context: int = Field(default=16, ge=1, le=512)
    """Characters of a window; the state is zero before the first."""
    batch: int = Field(default=8, ge=1, le=4096)
    """Windows in a minibatch."""

    def sample(self, generator: torch.Generator) -> Problem:
        gates = 3 if self.cell == "gru" else 1
        bound: float = self.units**-0.5

        def uniform(*shape: int) -> Tensor:
            return (2 * torch.rand(shape, generator=generator) - 1) * bound

        return Problem(
            {
                "embed": torch.randn(len(ALPHABET), self.width, generator=generator),
                "in.weight": uniform(gates * self.units, self.width),
                "hidden.weight": uniform(gates * self.units, self.units),
                "in.bias": uniform(gates * self.units),
                "out.weight": uniform(len(ALPHABET), self.units),
                "out.bias": uniform(len(ALPHABET)),
            }
        )

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        return draw_windows(generator, steps, self.batch, self.context)

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`text [seeds, batch, context + 1]`, the same for all settings of a seed."""
        return windows_at(draw["start"], self.context)

    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        text = batch["text"].mT  # one place after the other
        inputs = linear(embed(params["embed"], text[:, :-1].flatten(1)), params, "in.weight", "in.bias")
        inputs = inputs.view(*inputs.shape[:2], self.context, len(batch["text"][0]), -1)
        hidden, states = inputs.new_zeros(*inputs.shape[:2], inputs.shape[3], self.units), []
        for x in inputs.unbind(2):
            hidden = self._advance(x, hidden, params["hidden.weight"])
            states.append(hidden)
        logits = linear(torch.cat(states, 2), params, "out.weight", "out.bias")
        return mean_cross_entropy(logits, text[:, 1:].flatten(1))

    def _advance(self, x: Tensor, hidden: Tensor, weight: Tensor) -> Tensor:
        """The next state `[seeds, settings, batch, units]`."""
        recurrent = hidden @ weight.mT
        if self.cell == "tanh":
            return (x + recurrent).tanh()
        parts = [2 * self.units, self.units]
        (of_gates, of_candidate), (gates, candidate) = torch.split(x, parts, -1), torch.split(recurrent, parts, -1)
        reset, kept = (of_gates + gates).sigmoid().chunk(2, -1)
        return torch.lerp((of_candidate + reset * candidate).tanh(), hidden, kept)

    def sources(self) -> dict[str, Any]:
        return unicode_names_sources()
