"""VGG features: calibrated channels; trained weights checked before they are used, and never replaced silently."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import l2obench.tasks.data.vgg
from l2obench.tasks.data.folder import DataMissing
from l2obench.tasks.data.photographs import read_image, square
from l2obench.tasks.data.vgg import (
    BLOCKS,
    CALIBRATION,
    LAYERS,
    VGG16_FILE,
    VGG16_PLACES,
    fetch_vgg16,
    normalised,
    pixels,
    vgg,
)
from l2obench.tasks.neural_art import CONTENTS, TEST_STYLES, NeuralArt


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    l2obench.tasks.data.vgg._vgg.cache_clear()
    return tmp_path


def weights() -> dict[str, Tensor]:
    """Convolutions of torchvision's names and shapes, their values ours."""
    random, state, inputs = torch.Generator().manual_seed(0), {}, 3
    for place, width in zip(VGG16_PLACES, [width for block in BLOCKS for width in block], strict=True):
        state[f"features.{place}.weight"] = torch.randn(width, inputs, 3, 3, generator=random) * (2 / 9 / inputs) ** 0.5
        state[f"features.{place}.bias"] = torch.randn(width, generator=random)
        inputs = width
    return state


def test_each_channel_is_calibrated_before_its_relu() -> None:
    """A variable of mean 0 and variance 1 keeps its variance on both sides of a ReLU's kink: none is dead or linear."""
    pictures = normalised(torch.stack([square(read_image(name), 128) for name in CALIBRATION]))
    network = vgg("random", pictures)
    inputs = [pictures, *network(pictures).values()][:-1]
    for layer, x, weight, bias in zip(LAYERS, inputs, network.weights, network.biases, strict=True):
        x = torch.nn.functional.avg_pool2d(x, 2) if layer in ("relu2_1", "relu3_1", "relu4_1") else x
        z = torch.nn.functional.conv2d(x, weight, bias, padding=1)
        torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(len(bias)), atol=1e-3, rtol=0)
        torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(len(bias)), atol=1e-2, rtol=0)


def test_calibration_sees_nothing_that_is_kept_for_tests() -> None:
    assert not set(CALIBRATION) & {*CONTENTS["test"], *TEST_STYLES}


def test_layers_have_the_shapes_of_vgg16_at_half_width() -> None:
    shapes = {
        layer: tuple(a.shape[1:]) for layer, a in vgg("random", torch.empty(0))(torch.zeros(1, 3, 64, 64)).items()
    }
    assert shapes["relu1_2"] == (32, 64, 64)
    assert shapes["relu2_2"] == (64, 32, 32)
    assert shapes["relu3_3"] == (128, 16, 16)
    assert shapes["relu4_3"] == (256, 8, 8)


def test_pixels_invert_normalised() -> None:
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(pixels(normalised(image)), image)


def test_missing_weights_say_how_to_get_them(folder: Path) -> None:
    with pytest.raises(DataMissing, match="run 'l2obench prepare vgg16', or use features=random"):
        NeuralArt(features="vgg16").require_data()


def test_weights_give_the_activations_of_torchvision(folder: Path) -> None:
    state = weights()
    save_file(state, folder / VGG16_FILE)
    picture = torch.randn(1, 3, 32, 32)
    features = torch.nn.Sequential(
        *(torch.nn.AvgPool2d(2) if isinstance(m, torch.nn.MaxPool2d) else m for m in _torchvision_features(state))
    )
    found = vgg("vgg16", picture)(picture)
    torch.testing.assert_close(found["relu1_2"], features[:4](picture).detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["relu4_3"], features(picture).detach(), rtol=1e-4, atol=1e-4)


def _torchvision_features(state: dict[str, Tensor]) -> list[torch.nn.Module]:
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs["D"])[:23]
    features.load_state_dict({name.removeprefix("features."): value for name, value in state.items()})
    return [torch.nn.ReLU() if isinstance(module, torch.nn.ReLU) else module for module in features]


@pytest.mark.parametrize("damage", ["truncated", "a layer short", "another shape", "not finite"])
def test_damaged_weights_are_refused(folder: Path, damage: str) -> None:
    state = weights()
    if damage == "a layer short":
        del state["features.21.weight"]
    elif damage == "another shape":
        state["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    elif damage == "not finite":
        state["features.5.bias"][3] = torch.nan
    save_file(state, folder / VGG16_FILE)
    if damage == "truncated":
        (folder / VGG16_FILE).write_bytes((folder / VGG16_FILE).read_bytes()[:1000])
    with pytest.raises(DataMissing, match=VGG16_FILE):
        vgg("vgg16", torch.empty(0))


def test_prepare_keeps_the_convolutions_of_the_file_with_the_right_hash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = folder / "vgg16-397923af.pth"
    torch.save(weights() | {"classifier.0.weight": torch.zeros(2, 2)}, archive)
    monkeypatch.setattr(l2obench.tasks.data.vgg, "VGG16_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    fetch_vgg16(folder)
    torch.testing.assert_close(vgg("vgg16", torch.empty(0)).weights[9], weights()["features.21.weight"])
    sources = NeuralArt(features="vgg16").sources()
    assert sources["vgg16"]["sha256"] == hashlib.sha256((folder / VGG16_FILE).read_bytes()).hexdigest()


def test_prepare_refuses_another_file_without_reading_it(folder: Path) -> None:
    (folder / "vgg16-397923af.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataMissing, match=r"is not torchvision's file"):
        fetch_vgg16(folder)
    assert not (folder / VGG16_FILE).exists()
