"""Embeddings of words by factorising how often they stand together (GloVe)."""

from collections import Counter
from functools import lru_cache
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.unicode_names import unicode_names, unicode_names_sources
from l2obench.tasks.practice.base import Practice

WORDS = 1_500
# The paper's exponent; its maximum of 100 is for billions of words.
EXPONENT, ENOUGH = 0.75, 10.0
HELD_OUT = 0.1
# Results depend on the split: the seed must never change.
SEED = 20161130


class Factorization(Practice):
    """Weighted squared error of the logarithm of how often two words stand in one name of Unicode's characters.

    The 1,500 commonest words have two vectors and two biases each. A minibatch sees few of them, so most rows of a
    gradient are zero. At 32 dimensions: 99,000 parameters. A tenth of the pairs is held out.

    Source: Pennington et al. 2014, "GloVe: global vectors for word representation", equations 8 and 9.
    """

    name: ClassVar[str] = "practice-factorization"

    width: int = Field(default=32, ge=1, le=1024)
    """Dimensions of a vector."""
    batch: int = Field(default=256, ge=1, le=100_000)
    """Pairs of words in a minibatch."""

    def make_model(self) -> nn.Module:
        return Factors(self.width)

    def training_data(self) -> Any:
        return pairs()[0]

    def heldout_data(self) -> Any:
        return pairs()[1]

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        words, counts = batch
        weight = (counts / ENOUGH).clamp(max=1) ** EXPONENT
        error: Tensor = (weight * (model(words) - counts.log()).square()).mean()
        return error

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **unicode_names_sources()}


class Factors(nn.Module):
    """Inner products of the vectors of two words and their biases, from `[n, 2]` to `[n]`.

    Args:
        width: dimensions of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(WORDS, width), nn.Embedding(WORDS, width)
        self.first_bias, self.second_bias = nn.Embedding(WORDS, 1), nn.Embedding(WORDS, 1)
        for vectors in (self.first, self.second):
            nn.init.uniform_(vectors.weight, -0.5 / width, 0.5 / width)
        for bias in (self.first_bias, self.second_bias):
            nn.init.zeros_(bias.weight)

    def forward(self, words: Tensor) -> Tensor:
        one, other = words.unbind(1)
        product = (self.first(one) * self.second(other)).sum(1)
        found: Tensor = product + self.first_bias(one).squeeze(1) + self.second_bias(other).squeeze(1)
        return found


@lru_cache(maxsize=1)
def pairs() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Pairs of words `[n, 2]` and how often they stand in one name `[n]`: those to train on, and those held out."""
    names = [name.replace("-", " ").split() for name in unicode_names().splitlines()]
    # Words that are equally common follow the alphabet, whatever the order of a dictionary.
    common = sorted(Counter(word for name in names for word in name).items(), key=lambda item: (-item[1], item[0]))
    places = {word: place for place, (word, _) in enumerate(common[:WORDS])}
    known = [[places[word] for word in name if word in places] for name in names]
    counts = Counter((a, b) for name in known for i, a in enumerate(name) for j, b in enumerate(name) if i != j)
    words = torch.tensor(sorted(counts))
    often = torch.tensor([float(counts[a, b]) for a, b in words.tolist()])
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(SEED))
    first = int(HELD_OUT * len(words))
    train, test = order[first:], order[:first]
    return (words[train], often[train]), (words[test], often[test])
