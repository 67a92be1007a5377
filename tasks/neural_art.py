"""Neural art: paint one picture with the content of a photograph in the style of another (section 3.4 of the paper)."""

from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.data.held_out import HeldOut
from l2obench.tasks.data.photographs import PHOTOGRAPHS, crop, image_path, image_source, read_image, square
from l2obench.tasks.data.vgg import FeatureSource, Vgg, normalised, pixels, vgg, vgg_sources

CONTENTS = {
    "train": ("chelsea", "china", "coffee", "motorcycle"),
    "test": ("astronaut", "flower", "rocket"),
}
"""The pools. They share no photograph: another crop of one that was trained on would be no new content."""
TEST_STYLES = ("hubble", "retina")
"""Styles on which nothing is trained, for the transfer to a new style."""

CONTENT_LAYER = "relu2_2"
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
FLAT = 0.12
"""A crop whose pixels deviate less than this (sky, a wall) has no content; another one is drawn."""
# A photograph that is flat everywhere gives the last crop drawn, and no endless loop.
DRAWS = 20


class NeuralArt(Task):
    """Minimise α·content + β·style + γ·total variation over the pixels of one picture, starting from noise.

    Source: Andrychowicz et al. 2016, section 3.4, after Gatys et al. 2016. With φ the activations of frozen VGG16
    layers, content is ‖φ(θ) − φ(c)‖² / ‖φ(c)‖² at relu2_2 (deeper layers of random weights cannot be inverted in 128
    steps: the photograph does not appear); style is the mean over relu1_2, relu2_2, relu3_3 and relu4_3 of
    ‖G(θ) − G(s)‖² / ‖G(s)‖², with G = φφᵀ / positions; total variation is the mean squared difference of neighbouring
    pixels. Divided by its target's norm every term is of order 1, whatever features and resolution.

    Data: with `contents=test` three photographs, with `train` four others; no minibatches. A run keeps pictures of its
    first seeds at `snapshot_steps`.

    The parameter `image [3, H, W]` is in units of a standard deviation of natural pixels about their mean. A function
    is a random crop of a photograph in the pool; the style is shared by all.
    """

    name: ClassVar[str] = "neural-art"
    snapshot_steps: ClassVar[tuple[int, ...]] = (0, 16, 32, 64, 128)

    horizon: int = Field(default=128, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions of a seed do not depend on it."""
    resolution: Literal[64, 128] = 64
    """Side of the picture in pixels."""
    style: str = "ihc"
    """A bundled photograph, or the path of any image."""
    contents: str = "test"
    """`test` or `train`: the pool of photographs. Or one bundled photograph, or the path of any image."""
    alpha: float = Field(default=1.0, ge=0, le=1e6)
    """Weight of the content."""
    beta: float = Field(default=2.0, ge=0, le=1e6)
    """Weight of the style."""
    gamma: float = Field(default=0.5, ge=0, le=1e6)
    """Weight of the total variation."""
    scale: float = Field(default=0.5, ge=0, le=100)
    """θ₀ ~ N(0, scale²)."""
    features: FeatureSource = "random"
    """`random`: calibrated random convolutions. `vgg16`: torchvision's, after `l2obench prepare vgg16`."""

    def sample(self, generator: torch.Generator) -> Problem:
        photograph = normalised(self._draw_content(generator))
        noise = torch.randn(3, self.resolution, self.resolution, generator=generator)
        with torch.no_grad():
            content = vgg(self.features, photograph)(photograph[None], CONTENT_LAYER)[CONTENT_LAYER][0]
        return Problem(params={"image": self.scale * noise}, data={"content": content})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        image = params["image"]
        return self._losses(image[None], batch["content"][None], vgg(self.features, image))[0]

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """A few replicas at once on a CPU, whose caches hold no more; many on a GPU.

        The convolutions are frozen, so that replicas are a batch like any other.
        """
        images = params["image"]
        content = batch["content"].unsqueeze(1).expand(-1, images.shape[1], -1, -1, -1).flatten(0, 1)
        network = vgg(self.features, images)
        losses, grads = [], []
        at_once = max(1, 8 * 64**2 // self.resolution**2) if images.device.type == "cpu" else 64
        with torch.enable_grad():
            for picture, target in zip(
                torch.split(images.flatten(0, 1), at_once), torch.split(content, at_once), strict=True
            ):
                leaf = picture.detach().requires_grad_()
                each = self._losses(leaf, target, network)
                grads.append(torch.autograd.grad(each.sum(), leaf)[0])
                losses.append(each.detach())
        return torch.cat(losses).view(images.shape[:2]), {"image": torch.cat(grads).view_as(images)}

    def picture(self, params: Tensors) -> Tensor:
        return _to_bytes(pixels(params["image"]))

    def originals(self, generator: torch.Generator) -> Tensors:
        style = square(read_image(self.style), self.resolution)
        return {"content": _to_bytes(self._draw_content(generator)), "style": _to_bytes(style)}

    def for_tuning(self) -> "NeuralArt":
        return self if self.contents == "train" else self.model_copy(update={"contents": "train"})

    def require_trainable(self) -> None:
        if self.contents == "test" or _shows_one_of(self.contents, CONTENTS["test"]):
            raise HeldOut(
                f"{self.name}: contents={self.contents} is kept for tests and not trained on; "
                f"train on {self.name}[contents=train]"
            )
        if _shows_one_of(self.style, (*TEST_STYLES, *CONTENTS["test"])):
            known = ", ".join(sorted({*PHOTOGRAPHS} - {*TEST_STYLES, *CONTENTS["test"]}))
            raise HeldOut(
                f"{self.name}: style={self.style} is kept for tests and not trained on; choose another image, "
                f"or one of {known}"
            )

    def require_data(self) -> None:
        for name in (self.style, *self._pool()):
            read_image(name)
        vgg(self.features, torch.empty(0))

    def sources(self) -> dict[str, Any]:
        images = dict.fromkeys((self.style, *self._pool()))
        return {name: image_source(name) for name in images} | vgg_sources(self.features)

    def _pool(self) -> tuple[str, ...]:
        return CONTENTS.get(self.contents, (self.contents,))

    def _draw_content(self, generator: torch.Generator) -> Tensor:
        """A random square of a random photograph, from half its shorter side up, mirrored half the time."""
        pool = self._pool()
        for _ in range(DRAWS):
            image = read_image(pool[_random_integer(len(pool), generator)])
            height, width = image.shape[1:]
            shorter = min(height, width)
            extent = shorter - _random_integer(shorter // 2 + 1, generator)
            top, left = _random_integer(height - extent + 1, generator), _random_integer(width - extent + 1, generator)
            drawn = crop(image, top, left, extent, self.resolution)
            if _random_integer(2, generator):
                drawn = drawn.flip(-1)
            if drawn.std() >= FLAT:
                break
        return drawn

    def _losses(self, images: Tensor, content: Tensor, network: Vgg) -> Tensor:
        """The losses `[n]` of pictures `[n, 3, h, w]`."""
        activations = network(images)
        target = _style_targets(self.style, _modification_time(self.style), self.resolution, network)
        difference = (activations[CONTENT_LAYER] - content).square().sum((1, 2, 3))
        content_loss = difference / content.square().sum((1, 2, 3))
        style_loss = sum(
            (_gram_matrices(activations[layer]) - target[layer]).square().sum((1, 2)) / target[layer].square().sum()
            for layer in STYLE_LAYERS
        ) / len(STYLE_LAYERS)
        variation = images.diff(dim=2).square().mean((1, 2, 3)) + images.diff(dim=3).square().mean((1, 2, 3))
        return self.alpha * content_loss + self.beta * style_loss + self.gamma * variation


def _to_bytes(pixels: Tensor) -> Tensor:
    """Pixels as bytes, those beyond black and white cut off."""
    return (pixels.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)


def _gram_matrices(activations: Tensor) -> Tensor:
    """Mean products of channels `[n, channels, channels]`, of activations `[n, channels, h, w]`."""
    flat = activations.flatten(2)
    return flat @ flat.mT / flat.shape[2]


@lru_cache(maxsize=8)
def _style_targets(style: str, stamp: int, resolution: int, network: Vgg) -> Tensors:
    """The Gram matrices of a style's centred square, by layer; shared by all replicas."""
    like = network.biases[0]
    picture = normalised(square(read_image(style), resolution)).to(like.device, like.dtype)
    with torch.no_grad():
        return {
            layer: _gram_matrices(value)[0] for layer, value in network(picture[None]).items() if layer in STYLE_LAYERS
        }


def _modification_time(name: str) -> int:
    """The time of an image's last change: what is cached of it is made anew after one."""
    return image_path(name).stat().st_mtime_ns


def _shows_one_of(name: str, kept: tuple[str, ...]) -> bool:
    """Whether an image has the pixels of one that is kept for tests, whatever its file is called."""
    if name in CONTENTS:
        return False
    image = read_image(name)
    return any(torch.equal(image, read_image(other)) for other in kept)


def _random_integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
