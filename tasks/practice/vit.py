"""A vision transformer, on crops of photographs."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.practice.char_gpt import Block
from l2obench.tasks.practice.photographs import CLASSES, PhotographClassification

SIDE = 32
INITIAL_STD = 0.02


class ViT(PhotographClassification):
    """Patches as tokens with learned places, blocks of attention, the mean over tokens, a linear layer.

    At width 64, three blocks and patches of 8×8 pixels: 164,106 parameters.

    Source: Dosovitskiy et al. 2021, "An image is worth 16x16 words"; the mean in place of a class token as in
    Beyer et al. 2022, "Better plain ViT baselines for ImageNet-1k".
    """

    name: ClassVar[str] = "practice-vit"

    width: int = Field(default=64, ge=4, le=1024, multiple_of=4)
    """Width of the residual stream; each of four heads has a quarter."""
    layers: int = Field(default=3, ge=1, le=16)
    """Blocks."""
    patch: int = Field(default=8, ge=1, le=SIDE)
    """Side of a patch in pixels."""
    batch: int = Field(default=32, ge=1, le=10_000)
    """Crops in a minibatch."""

    def make_model(self) -> nn.Module:
        return VisionTransformer(self.width, self.layers, self.patch)


class VisionTransformer(nn.Module):
    """Scores of the classes of images `[n, 3, 32, 32]`.

    Args:
        width: of the residual stream.
        layers: number of blocks.
        patch: side of a patch.
    """

    def __init__(self, width: int, layers: int, patch: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.places = nn.Parameter(INITIAL_STD * torch.randn((SIDE // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, causal=False) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT + self.places
        scores: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return scores
