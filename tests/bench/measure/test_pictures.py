"""Snapshots: kept of the first seeds at the steps a task names, never of what diverged, and read back as they were."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.measure.pictures import SEEDS, take_records, to_record
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.base import Problem, Task, Tensors


class Canvas(Task):
    """θ² over the pixels of a picture of 8 × 8: θ = 1 is white."""

    name = "canvas"
    snapshot_steps = (0, 2, 50)

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem({"image": torch.rand(3, 8, 8, generator=generator)})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return params["image"].square().sum()

    def picture(self, params: Tensors) -> Tensor:
        return (params["image"].nan_to_num().clamp(0, 1) * 255).to(torch.uint8)

    def originals(self, generator: torch.Generator) -> Tensors:
        return {"start": (torch.rand(3, 8, 8, generator=generator).clamp(0, 1) * 255).to(torch.uint8)}


def decoded(png: bytes) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(io.BytesIO(png))).copy()).permute(2, 0, 1)


def test_pictures_are_of_the_steps_that_the_task_names_within_the_horizon() -> None:
    result = rollout(Canvas(horizon=4), SGD(lr=0.25), [1, 2, 3], snapshots=2)
    assert {step: tuple(picture.shape) for step, picture in result.pictures.items()} == {
        0: (2, 1, 3, 8, 8),
        2: (2, 1, 3, 8, 8),
    }
    torch.testing.assert_close(result.pictures[2].float(), result.pictures[0] / 4, atol=1.0, rtol=0)


def test_no_pictures_unless_asked_for() -> None:
    assert rollout(Canvas(horizon=4), SGD(lr=0.25), [1]).pictures == {}


def test_what_diverged_has_no_picture_from_then_on() -> None:
    result = rollout(Canvas(horizon=4), SGD(lr=1e20), [1], snapshots=1)
    assert [record["step"] for record in to_record(Canvas(), result, 0, 1)] == [None, 0]


def test_a_run_keeps_the_pictures_of_its_first_seeds(tmp_path: Path) -> None:
    cell = Cell(Canvas(horizon=4), SGD(lr=0.25), "default", SEEDS + 2, 1)
    run = RunFolder(tmp_path / "run")
    Runner(run, [cell], RunOptions(seeds_at_once=2)).execute({})
    frame = run.read("pictures")
    assert sorted(set(frame["seed"])) == list(range(SEEDS))
    assert list(frame[frame["seed"] == 0]["what"]) == ["start", "picture", "picture"]
    first = frame[frame["seed"] == SEEDS - 1].set_index("what")["png"]
    assert torch.equal(decoded(first["start"]), decoded(first["picture"].iloc[0]))
    assert len(run.read("cells")) == SEEDS + 2


def test_a_task_without_pictures_leaves_no_file(tmp_path: Path) -> None:
    from l2obench.tasks.quadratic import Quadratic

    run = RunFolder(tmp_path / "run")
    Runner(run, [Cell(Quadratic(horizon=2), SGD(), "default", 2, 1)]).execute({})
    assert run.read("pictures").empty
    assert not list((tmp_path / "run" / "pictures").iterdir())


def test_rows_lose_their_records() -> None:
    rows = [{"task": "t", "optimizer": "o", "track": "default", "seed": 3, "pictures": []}]
    assert take_records(rows) == []
    assert "pictures" not in rows[0]


def test_a_family_that_names_steps_and_gives_no_picture_is_told() -> None:
    class Blank(Canvas):
        picture = Task.picture

    with pytest.raises(NotImplementedError, match="gives no picture"):
        rollout(Blank(horizon=1), SGD(), [1], snapshots=1)
