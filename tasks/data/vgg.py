"""Frozen convolutional features of pictures: VGG16's layers up to relu4_3, with random weights or with trained ones.

`random`: half the channels, weights from a fixed seed, each convolution calibrated on bundled photographs. `vgg16`:
the weights of torchvision, trained on ImageNet; downloaded once by `l2obench prepare vgg16`.
"""

import math
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from l2obench.foundation.errors import describe_message
from l2obench.foundation.regular_file import FileRefused
from l2obench.foundation.tensor_file import read_tensor_file
from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.foundation.tensors import Tensors
from l2obench.tasks.data.file_hash import file_sha256
from l2obench.tasks.data.folder import DataMissing, data_dir
from l2obench.tasks.data.photographs import image_source, read_image, square

FeatureSource = Literal["random", "vgg16"]

# Simonyan & Zisserman 2015, configuration D, up to relu4_3: output channels of each convolution, by block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
LAYERS = [f"relu{i}_{j}" for i, block in enumerate(BLOCKS, 1) for j in range(1, len(block) + 1)]
# Of ImageNet's pixels by channel, as torchvision's weights expect.
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Results depend on the random weights: the seed must never change.
RANDOM_SEED = 20161130
CALIBRATION = ("brick", "chelsea", "china", "coffee", "gravel", "ihc", "motorcycle")
"""What calibration sees: no photograph and no style that is kept for tests."""
# The largest resolution of `neural-art`: statistics of channels depend on the scale of what a picture shows.
CALIBRATION_SIDE = 128

VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
VGG16_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
VGG16_FILE = "vgg16-features.safetensors"
MAX_BYTES = 2**28
"""Of that file: the convolutions take 31 MB in float32."""
# Places of the convolutions in torchvision's `features`: pooling and ReLU layers count too.
VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)


@dataclass(frozen=True, eq=False)
class Vgg:
    """Weights `[out, in, 3, 3]` and biases `[out]` of the convolutions, in order."""

    weights: list[Tensor]
    biases: list[Tensor]

    def __call__(self, pictures: Tensor, last: str = LAYERS[-1]) -> Tensors:
        """The activations of each layer up to `last`.

        Pooling is by average, which gives smoother pictures than the maximum (Gatys et al. 2016, section 2).

        Args:
            pictures: normalised, `[n, 3, height, width]`.
            last: a name in LAYERS.

        Returns:
            By layer, `[n, channels, h, w]` each; h and w are halved from block to block.
        """
        activations: Tensors = {}
        x = pictures
        for layer, weight, bias in zip(LAYERS, self.weights, self.biases, strict=True):
            if layer.endswith("_1") and activations:
                x = F.avg_pool2d(x, 2)
            x = F.conv2d(x, weight, bias, padding=1).relu()
            activations[layer] = x
            if layer == last:
                break
        return activations


def normalised(pixels: Tensor) -> Tensor:
    """Pixels as the features take them: without ImageNet's mean, in units of its standard deviation.

    Args:
        pixels: `[..., 3, height, width]` in 0..1.
    """
    return (pixels - _channels(PIXEL_MEAN, pixels)) / _channels(PIXEL_STD, pixels)


def pixels(picture: Tensor) -> Tensor:
    """The pixels of a normalised picture: the inverse of `normalised`.

    Args:
        picture: `[..., 3, height, width]`.

    Returns:
        Of the same shape, in 0..1 where the picture can be shown.

    Example:
        >>> grey = torch.full((3, 16, 16), 0.5)
        >>> torch.allclose(pixels(normalised(grey)), grey)
        True
    """
    return picture * _channels(PIXEL_STD, picture) + _channels(PIXEL_MEAN, picture)


def vgg(source: FeatureSource, like: Tensor) -> Vgg:
    """The features, on the device and in the precision of `like`.

    Args:
        source: `random` or `vgg16`.
        like: any floating-point tensor.

    Raises:
        DataMissing: the weights of `vgg16` are not on this machine, or damaged; the message says how to get them.

    Source: Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1,
    configuration D. Random weights: Ustyuzhaninov et al. 2017; He, Wang & Hopcroft 2016.
    """
    return _vgg(source, str(data_dir()) if source == "vgg16" else "", like.device, like.dtype)


@lru_cache(maxsize=8)
def _vgg(source: FeatureSource, folder: str, device: torch.device, dtype: torch.dtype) -> Vgg:
    with torch.no_grad():
        made = _read(Path(folder) / VGG16_FILE) if source == "vgg16" else _calibrated()
    return Vgg([w.to(device, dtype) for w in made.weights], [b.to(device, dtype) for b in made.biases])


def _calibrated() -> Vgg:
    """Random weights, convolution after convolution scaled and shifted to mean 0 and variance 1 in each channel.

    Without it the activations of random weights drown in their mean, and pictures made from them are poor. Random
    features: Ustyuzhaninov et al. 2017; He et al. 2016.
    """
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    x = normalised(torch.stack([square(read_image(name), CALIBRATION_SIDE) for name in CALIBRATION]))
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer, channels in zip(LAYERS, [width // 2 for block in BLOCKS for width in block], strict=True):
        if layer.endswith("_1") and weights:
            x = F.avg_pool2d(x, 2)
        fan_in = 9 * x.shape[1]
        weight = torch.randn(channels, x.shape[1], 3, 3, generator=generator) / math.sqrt(fan_in)
        std, mean = torch.std_mean(F.conv2d(x, weight, padding=1), dim=(0, 2, 3), correction=0)
        weights.append(weight / std.view(-1, 1, 1, 1))
        biases.append(-mean / std)
        x = F.conv2d(x, weights[-1], biases[-1], padding=1).relu()
    return Vgg(weights, biases)


def _read(path: Path) -> Vgg:
    hint = "run 'l2obench prepare vgg16', or use features=random, which needs no download"
    if not os.path.exists(path):
        raise DataMissing(f"features=vgg16 needs {path}, which is not there; {hint}")
    try:
        tensors = read_tensor_file(path, MAX_BYTES).tensors
        made = Vgg(
            [tensors[f"features.{place}.weight"].float() for place in VGG16_PLACES],
            [tensors[f"features.{place}.bias"].float() for place in VGG16_PLACES],
        )
    except (FileRefused, TensorFileError, KeyError) as error:
        raise DataMissing(f"{path} does not hold VGG16's convolutions ({error}); delete it and {hint}") from error
    inputs, expected = 3, []
    for width in (width for block in BLOCKS for width in block):
        expected.append((width, inputs, 3, 3))
        inputs = width
    if [tuple(weight.shape) for weight in made.weights] != expected or [len(b) for b in made.biases] != [
        shape[0] for shape in expected
    ]:
        raise DataMissing(f"{path} does not hold VGG16's convolutions (other shapes); delete it and {hint}")
    if not all(tensor.isfinite().all() for tensor in [*made.weights, *made.biases]):
        raise DataMissing(f"{path} holds weights that are not finite; delete it and {hint}")
    return made


def fetch_vgg16(folder: Path) -> Path:
    """Download torchvision's weights into `folder`, check their SHA-256, and keep the convolutions as safetensors.

    Args:
        folder: the folder for data, from `data_dir`.

    Returns:
        The path of the safetensors file.

    Raises:
        DataMissing: the download failed, or the file is not the one that VGG16_SHA256 names.
    """
    from torch.hub import download_url_to_file, load_state_dict_from_url

    archive, path = folder / VGG16_URL.rpartition("/")[2], folder / VGG16_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.path.isfile(archive):
            download_url_to_file(VGG16_URL, str(archive), progress=False)
    except (OSError, ValueError) as error:
        raise DataMissing(
            f"VGG16's weights could not be downloaded to {archive} ({describe_message(error)}); copy {VGG16_URL} there "
            "by hand, or use features=random, which needs no download"
        ) from error
    if (found := file_sha256(archive)) != VGG16_SHA256:
        raise DataMissing(
            f"{archive} is not torchvision's file (SHA-256 {found[:12]}…, expected {VGG16_SHA256[:12]}…); delete it "
            "and run 'l2obench prepare vgg16'"
        )
    # torch's restricted reader (tensors only), on a file whose content has just been checked.
    state = load_state_dict_from_url(VGG16_URL, str(folder), map_location="cpu", weights_only=True)
    names = [f"features.{place}.{kind}" for place in VGG16_PLACES for kind in ("weight", "bias")]
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        save_file({name: state[name].contiguous() for name in names}, Path(beside) / VGG16_FILE)
        os.replace(Path(beside) / VGG16_FILE, path)
    _vgg.cache_clear()
    return path


def vgg_sources(source: FeatureSource) -> dict[str, Any]:
    """Where the features come from, for a run's manifest: a description and a SHA-256 for each file.

    Args:
        source: `random`, which depends on the photographs of its calibration, or `vgg16`.
    """
    if source == "random":
        return {f"calibration/{name}": image_source(name) for name in CALIBRATION}
    digest = file_sha256(data_dir() / VGG16_FILE)
    return {"vgg16": {"description": "torchvision's VGG16_Weights.IMAGENET1K_V1, convolutions", "sha256": digest}}


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(3, 1, 1)
