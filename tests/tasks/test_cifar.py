"""The convolutional network: gradient, batch norm inside the rollout, label subsets, and its two sources of data."""

import io
import tarfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from l2obench.bench.config.registry import BadParameters, task_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.designed import adam
from l2obench.tasks.base import Task
from l2obench.tasks.cifar import CifarCnn
from l2obench.tasks.cifar_network import for_each_replica, loss_and_grad_by_hand
from l2obench.tasks.data import cifar10
from l2obench.tasks.data.folder import DataMissing
from l2obench.tasks.data.photographs import read_image
from l2obench.tasks.data.photos10 import PHOTOS10, TRAIN_WIDTH, crops

SMALL = {"channels": 3, "batch": 8}


def stacked(task: CifarCnn, seeds: int, settings: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    problems = Problems(task, list(range(seeds)), dtype=torch.float64)
    params = {
        name: value.unsqueeze(1) + 0.01 * torch.arange(settings).view(1, -1, *[1] * (value.ndim - 1))
        for name, value in problems.start.items()
    }
    return params, problems.minibatch()


def test_the_gradient_is_that_of_vmap() -> None:
    task = CifarCnn(**SMALL)
    params, batch = stacked(task, seeds=2, settings=3)
    losses, grads = task.loss_and_grad(params, batch)
    expected_losses, expected_grads = Task.loss_and_grad(task, params, batch)
    torch.testing.assert_close(losses, expected_losses)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected_grads[name], msg=name)


@pytest.mark.parametrize("flat", [False, True])
def test_the_gradient_by_hand_is_that_of_autograd(flat: bool) -> None:
    """Where gains are negative too, and where neighbours are equal and torch picks the first."""
    task = CifarCnn(**SMALL)
    params, batch = stacked(task, seeds=2, settings=3)
    random = torch.Generator().manual_seed(0)
    for name, value in params.items():
        if name.endswith(("gain", "shift")):
            value.copy_(torch.randn(value.shape, generator=random, dtype=value.dtype))
    if flat:
        batch["x"] = batch["x"].round()
    losses, grads = for_each_replica(loss_and_grad_by_hand, params, batch)
    expected_losses, expected_grads = task.loss_and_grad(params, batch)
    torch.testing.assert_close(losses, expected_losses)
    for name, grad in expected_grads.items():
        torch.testing.assert_close(grads[name], grad, msg=name)


def test_the_network_is_the_one_that_torch_modules_make() -> None:
    task = CifarCnn(channels=4, batch=16)
    problem = task.sample(torch.Generator().manual_seed(0))
    batch = task.minibatch({}, {"index": torch.arange(16).unsqueeze(0)})
    x, y = batch["x"][0], batch["y"][0]
    for k in range(3):
        conv = torch.nn.Conv2d(x.shape[1], 4, 3, padding=1, bias=False)
        norm = torch.nn.BatchNorm2d(4)
        conv.load_state_dict({"weight": problem.params[f"conv{k}.weight"]})
        x = torch.nn.MaxPool2d(2)(norm(conv(x)).relu())
    for k in range(2):
        linear = torch.nn.Linear(x.flatten(1).shape[1], 32 if k == 0 else 10)
        linear.load_state_dict({part: problem.params[f"fc{k}.{part}"] for part in ("weight", "bias")})
        x = linear(x.flatten(1)).relu() if k == 0 else linear(x)
    expected = torch.nn.functional.cross_entropy(x, y)
    torch.testing.assert_close(
        task.loss(problem.params, {"x": batch["x"][0], "y": y}), expected.detach(), check_stride=False
    )


def test_every_parameter_belongs_to_one_group_and_only_filters_to_conv() -> None:
    names = CifarCnn(**SMALL).sample(torch.Generator()).params.keys()
    grouped = [name for members in CifarCnn.groups.values() for name in members]
    assert sorted(grouped) == sorted(names)
    assert CifarCnn.groups["conv"] == ("conv0.weight", "conv1.weight", "conv2.weight")


def test_adam_learns_and_the_heldout_photographs_show_it() -> None:
    task = CifarCnn(channels=8, batch=64, horizon=60)
    result = rollout(task, adam.Adam(lr=0.01), [1])
    losses = result.losses[0, 0]
    assert losses[-10:].mean() < 0.9 * losses[:3].mean()
    assert result.heldout["accuracy"].item() > 0.2  # ten labels: chance is 0.1
    assert result.heldout["loss"].isfinite().all()


def test_heldout_metrics_do_not_depend_on_the_replicas_beside() -> None:
    task = CifarCnn(channels=2, batch=8)
    params, _ = stacked(task, seeds=2, settings=2)
    whole = task.evaluate(params)
    one = task.evaluate({name: value[1:, 1:] for name, value in params.items()})
    torch.testing.assert_close(whole["loss"][1:, 1:], one["loss"])


def test_a_label_subset_has_these_labels_only() -> None:
    whole, subset = CifarCnn(batch=256), CifarCnn(batch=256, labels="5-9")
    assert subset.sample(torch.Generator()).params["fc1.weight"].shape == (5, 32)
    assert len(subset._split("train").labels) == 5 * len(whole._split("train").labels) // 10
    assert set(subset._split("train").labels.tolist()) == set(range(5))
    torch.testing.assert_close(subset._split("test").images[0], whole._split("test").images[500])


@pytest.mark.parametrize("labels", ["5", "3-3", "9-0", "0-10", "a-b", ""])
def test_a_label_subset_that_is_none_is_refused(labels: str) -> None:
    with pytest.raises(BadParameters, match="range of at least two"):
        task_registry().create(f'cifar-cnn[labels="{labels}"]')


def test_no_pixel_is_in_train_and_test() -> None:
    images, labels = crops("train")
    assert images.shape == (5000, 3, 32, 32)
    assert labels.bincount().tolist() == [500] * 10
    assert crops("test")[0].shape == (1000, 3, 32, 32)
    for name in PHOTOS10:
        width = read_image(name).shape[2]
        assert width - int(width * TRAIN_WIDTH) >= 96  # the widest crop fits into the test side


def test_colour_alone_says_little_about_the_label() -> None:
    """The nearest mean colour, a classifier that sees nothing else, is not far above chance."""
    images, labels = crops("train")
    colours = images.float().mean((2, 3))
    centres = torch.stack([colours[labels == k].mean(0) for k in range(10)])
    test_images, test_labels = crops("test")
    nearest = torch.cdist(test_images.float().mean((2, 3)), centres).argmin(1)
    assert (nearest == test_labels).float().mean() < 0.2


def write_cifar10(folder: Path) -> tuple[Tensor, Tensor]:
    """An archive in CIFAR-10's binary format with two images a file."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (12, 3072), generator=random, dtype=torch.uint8)
    labels = torch.randint(10, (12, 1), generator=random, dtype=torch.uint8)
    records = torch.cat([labels, pixels], dim=1)
    with tarfile.open(cifar10.archive(folder), "w:gz") as tar:
        for k, name in enumerate([*cifar10.FILES["train"], *cifar10.FILES["test"]]):
            content = records[2 * k : 2 * k + 2].numpy().tobytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return pixels.view(-1, 3, 32, 32), labels.flatten().long()


def test_cifar10_is_read_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = write_cifar10(tmp_path)
    monkeypatch.setattr(cifar10, "SHA256", cifar10.file_sha256(cifar10.archive(tmp_path)))
    images, found = cifar10.read_cifar10("train", tmp_path)
    assert torch.equal(images, pixels[:10])
    assert torch.equal(found, labels[:10])
    assert torch.equal(cifar10.read_cifar10("test", tmp_path)[0], pixels[10:])


def test_an_archive_that_is_not_cifar10s_is_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(DataMissing, match="is not CIFAR-10's file"):
        cifar10.read_cifar10("train", tmp_path)


def test_missing_cifar10_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="l2obench prepare cifar10"):
        CifarCnn(data="cifar10").require_data()


def test_a_download_that_fails_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "URL", (tmp_path / "nothing-there").as_uri())
    with pytest.raises(DataMissing, match="could not be downloaded") as caught:
        cifar10.fetch_cifar10(tmp_path)
    assert "\n" not in str(caught.value)
