"""Bundled photographs, and images from outside with everything that can be wrong with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from l2obench.tasks.data import photographs
from l2obench.tasks.data.photographs import PHOTOGRAPHS, ImageError, image_source, read_image


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_bundled_photographs_are_colour_images(name: str) -> None:
    image = read_image(name)
    assert image.dtype == torch.uint8
    assert image.shape[0] == 3
    assert min(image.shape[1:]) >= 300
    assert len(image_source(name)["sha256"]) == 64


def test_a_grey_image_has_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(tmp_path / "grey.png")
    image = read_image(str(tmp_path / "grey.png"))
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert image[0, 0, :3].tolist() == [0, 1, 2]


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "glass.png")
    assert bool((read_image(str(tmp_path / "glass.png")) == 255).all())


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(ImageError, match="is no image that can be read"):
        read_image(str(tmp_path / "text.png"))


def test_a_truncated_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="is no image that can be read"):
        read_image(str(tmp_path / "half.png"))


def test_an_image_out_of_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 100)).save(tmp_path / "tiny.png")
    with pytest.raises(ImageError, match="at least 16 a side"):
        read_image(str(tmp_path / "tiny.png"))
    Image.new("RGB", (100, 100)).save(tmp_path / "huge.png")
    monkeypatch.setattr(photographs, "MAX_PIXELS", 9_999)
    with pytest.raises(ImageError, match="100 × 100 pixels; at most 9,999"):
        read_image(str(tmp_path / "huge.png"))


def test_an_image_that_is_not_there_lists_the_bundled_ones() -> None:
    with pytest.raises(ImageError, match="astronaut"):
        read_image("nowhere.png")
