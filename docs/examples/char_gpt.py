"""A character GPT on the text of Python's own help, trained in a plain loop by four optimizers."""

import pydoc_data.topics
from typing import Any

import torch
from race import Problem, main
from torch import Tensor, nn
from torch.nn import functional

CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 48, 32, 4, 2, 16
HELD_OUT = 20_000
"""Characters at the end of the text."""


class Block(nn.Module):
    """Attention to earlier characters and a perceptron, each on normalized inputs with a connection around it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.projection = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.query_key_value(self.attention_norm(x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.projection(seen.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.perceptron(self.norm(x))


class GPT(nn.Module):
    """Scores of the next character, at every place."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, WIDTH)
        self.place_embedding = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, characters)
        for table in (self.embedding, self.place_embedding):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Any:
        x = self.embedding(tokens) + self.place_embedding.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def read_text() -> Tensor:
    """The text as numbers of characters."""
    text = "\n".join(pydoc_data.topics.topics.values())
    characters = {character: number for number, character in enumerate(sorted(set(text)))}
    return torch.tensor([characters[character] for character in text])


def next_character_loss(model: nn.Module, windows: Tensor) -> Tensor:
    """Cross-entropy of each character, given those before it in its window.

    Args:
        windows: `[batch, CONTEXT + 1]`.
    """
    return functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def make_problem() -> Problem:
    """The training."""
    text = read_text()
    characters = int(text.max()) + 1
    training = text[:-HELD_OUT].unfold(0, CONTEXT + 1, 1)
    heldout = text[-HELD_OUT:].unfold(0, CONTEXT + 1, CONTEXT + 1)

    def batch_loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        return next_character_loss(model, training[torch.randint(len(training), (BATCH,), generator=generator)])

    return Problem(lambda: GPT(characters), batch_loss, lambda model: next_character_loss(model, heldout))


if __name__ == "__main__":
    main(make_problem(), "A character GPT of 34,000 parameters", "char-gpt.png", steps=300)
