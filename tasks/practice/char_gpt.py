"""A GPT of characters."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.unicode_names import ALPHABET
from l2obench.tasks.practice.text import LanguageModel

INITIAL_STD = 0.02


class CharGPT(LanguageModel):
    """A decoder-only transformer, layer norm before each part, embeddings shared with the output layer.

    At width 64 and two blocks: 106,688 parameters. Weights start at N(0, .02²), those that end a block at
    that divided by the root of the number of residual parts.

    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3 (GPT-2).
    """

    name: ClassVar[str] = "practice-char-gpt"

    width: int = Field(default=64, ge=4, le=1024, multiple_of=4)
    """Width of the residual stream; each of four heads has a quarter."""
    layers: int = Field(default=2, ge=1, le=16)
    """Blocks."""
    context: int = Field(default=64, ge=1, le=512)
    """Characters in a window."""
    batch: int = Field(default=8, ge=1, le=10_000)
    """Windows in a minibatch."""

    def make_model(self) -> nn.Module:
        return GPT(self.width, self.layers, self.context)


class GPT(nn.Module):
    """Scores of the next character at each place.

    Args:
        width: of the residual stream.
        layers: number of blocks.
        context: the most characters it can look back on.
    """

    def __init__(self, width: int, layers: int, context: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET), width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, causal=True) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for name, value in self.named_parameters():
            if value.ndim == 2:
                last = name.endswith(("attention.out.weight", "mlp.2.weight"))
                nn.init.normal_(value, std=INITIAL_STD / (2 * layers) ** 0.5 if last else INITIAL_STD)

    def forward(self, text: Tensor) -> Tensor:
        h = self.characters(text) + self.places(torch.arange(text.shape[1], device=text.device))
        scores: Tensor = self.norm(self.blocks(h)) @ self.characters.weight.mT
        return scores


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and with a connection around it.

    Args:
        width: of the residual stream.
        causal: whether a place sees only those before it.
    """

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, causal)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attention(self.attention_norm(h))
        out: Tensor = h + self.mlp(self.mlp_norm(h))
        return out


class Attention(nn.Module):
    """Self-attention of four heads.

    Args:
        width: of the residual stream.
        causal: whether a place sees only those before it.
    """

    heads = 4

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.causal = causal

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / k.shape[-1] ** 0.5
        if self.causal:
            scores = scores + torch.full(scores.shape[-2:], -torch.inf, dtype=h.dtype, device=h.device).triu(1)
        out: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return out
