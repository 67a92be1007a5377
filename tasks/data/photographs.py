"""Photographs that travel inside wheels (scikit-image, scikit-learn), and any image file, as tensors.

An image from outside is untrusted: what is no image, is too large or too small, is refused in one line.
"""

import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from l2obench.tasks.data.file_hash import file_sha256

# A file of a few kilobytes can claim any size: decoded, this many pixels take 256 MB.
MAX_PIXELS = 64_000_000
# `square` enlarges a smaller image more than fourfold even for pictures of 64 pixels: no texture is left.
MIN_SIDE = 16


@dataclass(frozen=True)
class Photograph:
    """One bundled image: the package and file that hold it, and whom to credit."""

    package: str
    file: str
    credit: str


PHOTOGRAPHS = {
    "astronaut": Photograph("skimage", "data/astronaut.png", "Eileen Collins, by NASA; public domain"),
    "brick": Photograph("skimage", "data/brick.png", "brick wall, CC0 Textures; CC0"),
    "chelsea": Photograph("skimage", "data/chelsea.png", "Chelsea the cat, by Stefan van der Walt; CC0"),
    "china": Photograph("sklearn", "datasets/images/china.jpg", "Summer Palace, by Daniel Schwen; CC BY 2.0"),
    "coffee": Photograph("skimage", "data/coffee.png", "cup of coffee, by Rachel Michetti; CC0"),
    "colorwheel": Photograph("skimage", "data/color.png", "colour wheel; licence not stated"),
    "flower": Photograph("sklearn", "datasets/images/flower.jpg", "dahlia, by Vultur Gryphus; CC BY 2.0"),
    "grass": Photograph("skimage", "data/grass.png", "grass, by Linolafett on OpenGameArt; CC0"),
    "gravel": Photograph("skimage", "data/gravel.png", "gravel, CC0 Textures; CC0"),
    "hubble": Photograph("skimage", "data/hubble_deep_field.jpg", "Hubble deep field, by NASA; public domain"),
    "ihc": Photograph("skimage", "data/ihc.png", "stained colon tissue, by Karolinska Institutet; no restrictions"),
    "motorcycle": Photograph("skimage", "data/motorcycle_left.png", "Middlebury stereo 2014; licence not stated"),
    "retina": Photograph("skimage", "data/retina.jpg", "fundus of an eye, by Häggström; CC0"),
    "rocket": Photograph("skimage", "data/rocket.jpg", "Falcon 9, by SpaceX; CC0"),
}


class ImageError(ValueError):
    """A file that is no image, or no image that can be used."""

    exit_code = 2


def image_path(name: str) -> Path:
    """The file of a bundled photograph, by its name, or of any image, by its path.

    Args:
        name: a name in PHOTOGRAPHS, or a path.

    Raises:
        ImageError: neither a bundled photograph nor a file.
    """
    if (known := PHOTOGRAPHS.get(name)) is not None:
        return Path(str(resources.files(known.package) / known.file))
    path = Path(name)
    if not os.path.isfile(path):
        raise ImageError(f"no image file {name!r}; give a path, or one of {', '.join(PHOTOGRAPHS)}")
    return path


def read_image(name: str) -> Tensor:
    """The pixels of an image: grey becomes RGB, transparent parts become white.

    Args:
        name: a name in PHOTOGRAPHS, or a path.

    Returns:
        `[3, height, width]` uint8, kept for the next call: do not change it.

    Raises:
        ImageError: there is no such image, it cannot be decoded, or its size is out of bounds.
    """
    path = image_path(name)
    return _read(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read(path: str, modified: int) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is ours
            with Image.open(path) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ImageError(f"{path} has {width} × {height} pixels; at most {MAX_PIXELS:,} are read")
                if min(width, height) < MIN_SIDE:
                    raise ImageError(f"{path} has {width} × {height} pixels; expected at least {MIN_SIDE} a side")
                rgba = image.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path} is no image that can be read: {error}") from error
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    pixels = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


def image_source(name: str) -> dict[str, str]:
    """Where an image comes from: a description and its SHA-256, for a run's manifest.

    Args:
        name: a name in PHOTOGRAPHS, or a path.

    Raises:
        ImageError: there is no such image.
    """
    known = PHOTOGRAPHS.get(name)
    about = f"{known.credit} (in the {known.package} wheel)" if known else "the user's file"
    return {"description": about, "sha256": file_sha256(image_path(name))}


def square(image: Tensor, side: int) -> Tensor:
    """The largest centred square of an image, resized.

    Args:
        image: `[3, height, width]` uint8.
        side: of the result, in pixels.

    Returns:
        `[3, side, side]` float32 in 0..1.

    Example:
        >>> square(torch.full((3, 20, 40), 255, dtype=torch.uint8), side=16).shape
        torch.Size([3, 16, 16])
    """
    height, width = image.shape[1:]
    extent = min(height, width)
    return crop(image, (height - extent) // 2, (width - extent) // 2, extent, side)


def crop(image: Tensor, top: int, left: int, extent: int, side: int) -> Tensor:
    """A square part of an image, resized.

    Args:
        image: `[3, height, width]` uint8.
        top: the first row of the part.
        left: the first column of the part.
        extent: its height and width in pixels.
        side: of the result, in pixels.

    Returns:
        `[3, side, side]` float32 in 0..1.
    """
    part = image[:, top : top + extent, left : left + extent].float().div(255)
    resized = torch.nn.functional.interpolate(part[None], (side, side), mode="bilinear", antialias=True)
    return resized[0].clamp(0, 1)
