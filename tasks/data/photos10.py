"""`photos10`: 32×32 colour crops of ten photographs, the label is the photograph. The small stand-in for CIFAR-10.

Train crops come from the left 70 % of each photograph, test crops from the right 30 %: no pixel is in both. Each crop
loses its mean colour and gets a random offset and contrast, because colour alone would give the label away.
"""

from functools import lru_cache

import torch
from torch import Tensor

from l2obench.tasks.data.photographs import image_source, read_image

PHOTOS10 = (
    "astronaut",
    "chelsea",
    "china",
    "coffee",
    "flower",
    "hubble",
    "ihc",
    "motorcycle",
    "retina",
    "rocket",
)
SIZE = 32
# Of each photograph: 5,000 and 1,000 in all, a tenth of CIFAR-10.
CROPS = {"train": 500, "test": 100}
# Results depend on the crops: the seeds must never change.
SEED = {"train": 20161130, "test": 20161201}
# Share of each photograph's width that train crops come from.
TRAIN_WIDTH = 0.7
# Of 255. Flatter crops are sky or night, which several photographs have: no network could tell them apart.
MIN_STD = 12.0
# Standard deviation of offset and contrast. Without it the colour of a crop would give its label away.
JITTER = 0.2


@lru_cache(maxsize=2)
def crops(split: str) -> tuple[Tensor, Tensor]:
    """The crops of a split, the same every time: 5,000 to train on, 1,000 to test.

    Args:
        split: `train` or `test`.

    Returns:
        Images `[n, 3, 32, 32]` uint8 and labels `[n]` int64, sorted by label. Later calls give the same tensors: do not
        change them.
    """
    random = torch.Generator().manual_seed(SEED[split])
    images = torch.cat([_crops_of(name, split, CROPS[split], random) for name in PHOTOS10])
    return images, torch.arange(len(PHOTOS10)).repeat_interleave(CROPS[split])


def photos10_sources() -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of each photograph, for a run's manifest."""
    return {f"photograph {name}": image_source(name) for name in PHOTOS10}


def _crops_of(name: str, split: str, count: int, random: torch.Generator) -> Tensor:
    image = read_image(name)
    border = int(image.shape[2] * TRAIN_WIDTH)
    region = image[:, :, :border] if split == "train" else image[:, :, border:]
    found: list[Tensor] = []
    while len(found) < count:
        side = int(torch.randint(32, 97, (), generator=random))
        top = int(torch.randint(region.shape[1] - side + 1, (), generator=random))
        left = int(torch.randint(region.shape[2] - side + 1, (), generator=random))
        patch = region[:, top : top + side, left : left + side].float()
        if patch.std(dim=(1, 2)).mean() >= MIN_STD:
            found.append(_jittered(patch, random))
    return torch.stack(found)


def _jittered(patch: Tensor, random: torch.Generator) -> Tensor:
    """The patch at 32×32 without its mean colour, with a random one, and a random contrast; uint8."""
    small = torch.nn.functional.interpolate(patch[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)[0]
    offset = 127.5 * (1 + JITTER * torch.randn(3, 1, 1, generator=random))
    contrast = 1 + JITTER * torch.randn((), generator=random)
    return ((small - small.mean(dim=(1, 2), keepdim=True)) * contrast + offset).round().clamp(0, 255).to(torch.uint8)
