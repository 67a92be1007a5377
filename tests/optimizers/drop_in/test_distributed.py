"""Two processes train as one does: DDP, the shards of FSDP2, and their checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing import start_processes

from tests.optimizers.drop_in.two_processes import STEPS, WORLD, make, run, small_net, train

NAMES = ["sgd", "adam", "general", "celo[checkpoint=random]", "celo2[checkpoint=random]"]

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")


@pytest.fixture(scope="module")
def found(once: Callable[[str, Callable[[Path], object]], Path]) -> list[dict[str, Any]]:
    """What each process found."""

    def fill(folder: Path) -> None:
        start_processes(run, args=(folder, NAMES), nprocs=WORLD, start_method="spawn")

    folder = once("two-processes", fill)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def alone(name: str, steps: int) -> dict[str, torch.Tensor]:
    model = small_net()
    train(model, make(name, model), slice(None), steps)
    return model.state_dict()


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], exactly: bool = False) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        bounds = {"rtol": 0.0, "atol": 0.0} if exactly else {"rtol": 1e-4, "atol": 1e-6}
        torch.testing.assert_close(value, second[key], **bounds)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_train_as_one(found: list[dict[str, Any]], way: str, name: str) -> None:
    for own in found:
        assert_same(own[f"{way} {name}"], alone(name, STEPS))
    assert_same(found[0][f"{way} {name}"], found[1][f"{way} {name}"], exactly=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_sharded_training_goes_on_from_its_checkpoint(found: list[dict[str, Any]], name: str) -> None:
    for own in found:
        assert_same(own[f"further {name}"], own[f"restored {name}"], exactly=True)
        assert_same(own[f"further {name}"], alone(name, 2 * STEPS))


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_is_not_finite_in_one_process_is_skipped_by_all(found: list[dict[str, Any]], name: str) -> None:
    for own in found:
        assert int(own[f"skipped {name}"]["skipped"]) == 1
        assert bool(own[f"skipped {name}"]["same"])
