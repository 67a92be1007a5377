"""Neural art: the loss against its formula, gradients against the default, pools apart."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import task_registry
from l2obench.bench.measure.tuning import tune
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import generator
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.base import Task, Tensors
from l2obench.tasks.data.held_out import HeldOut
from l2obench.tasks.data.photographs import ImageError, image_path, read_image, square
from l2obench.tasks.data.vgg import normalised, vgg
from l2obench.tasks.neural_art import CONTENT_LAYER, CONTENTS, STYLE_LAYERS, TEST_STYLES, NeuralArt


def stacked(task: NeuralArt, settings: int) -> tuple[Tensors, Tensors]:
    problems = Problems(task, [1, 2, 3])
    random = torch.Generator().manual_seed(0)
    start = problems.start["image"].unsqueeze(1)
    image = start + 0.1 * torch.randn(3, settings, *start.shape[2:], generator=random)
    return {"image": image}, problems.minibatch()


def test_loss_is_the_formula_of_its_docstring() -> None:
    task = NeuralArt(alpha=2.0, beta=3.0, gamma=0.5, style="grass")
    problem = task.sample(generator(1))
    x = problem.params["image"]
    network = vgg("random", x)
    found, style = network(x[None]), network(normalised(square(read_image("grass"), 64))[None])
    content = problem.data["content"]
    expected = 2 * ((found[CONTENT_LAYER][0] - content) ** 2).sum() / (content**2).sum()
    for layer in STYLE_LAYERS:
        ours, theirs = (torch.einsum("ahw,bhw->ab", a[layer][0], a[layer][0]) for a in (found, style))
        expected += 3 / 4 * ((ours - theirs) ** 2).sum() / (theirs**2).sum()
    expected += 0.5 * ((x[:, 1:] - x[:, :-1]) ** 2).mean() + 0.5 * ((x[:, :, 1:] - x[:, :, :-1]) ** 2).mean()
    torch.testing.assert_close(task.loss(problem.params, problem.data), expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_default() -> None:
    task = NeuralArt()
    params, batch = stacked(task, settings=2)
    losses, grads = task.loss_and_grad(params, batch)
    expected_losses, expected = Task.loss_and_grad(task, params, batch)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(grads["image"], expected["image"], rtol=1e-3, atol=1e-7)


def test_adam_paints() -> None:
    task = NeuralArt(horizon=48)
    losses = rollout(task, Adam(lr=0.3), [1, 2]).losses[:, 0]
    assert (losses[:, -1] < losses[:, 0] / 2).all()


def test_starts_from_noise_and_knows_its_photograph_by_features_alone() -> None:
    problem = NeuralArt().sample(generator(1))
    assert problem.params["image"].shape == (3, 64, 64)
    assert float(problem.params["image"].std()) == pytest.approx(0.5, rel=0.05)
    assert float(problem.params["image"].mean()) == pytest.approx(0, abs=0.03)


def test_functions_differ_between_seeds_and_not_with_the_horizon() -> None:
    one, other = NeuralArt().sample(generator(1)), NeuralArt().sample(generator(2))
    again = NeuralArt(horizon=7).sample(generator(1))
    assert not torch.equal(one.data["content"], other.data["content"])
    assert torch.equal(one.data["content"], again.data["content"])
    assert torch.equal(one.params["image"], again.params["image"])


def test_pools_and_styles_share_no_photograph() -> None:
    names = [*CONTENTS["train"], *CONTENTS["test"], *TEST_STYLES, NeuralArt().style]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("neural-art", r"contents=test is kept for tests .*train on neural-art\[contents=train\]"),
        ("neural-art[contents=astronaut]", "contents=astronaut is kept for tests"),
        ("neural-art[contents=train,style=hubble]", "style=hubble is kept for tests"),
        ("neural-art[contents=train,style=rocket]", "style=rocket is kept for tests"),
    ],
)
def test_what_is_kept_for_tests_is_not_trained_on(identity: str, message: str) -> None:
    with pytest.raises(HeldOut, match=message):
        Trainer(Recipe(task=identity))


def test_a_test_style_under_another_name_is_not_trained_on(tmp_path: Path) -> None:
    Image.open(image_path("hubble")).save(tmp_path / "mine.png")
    with pytest.raises(HeldOut, match=r"mine\.png is kept for tests"):
        NeuralArt(contents="train", style=str(tmp_path / "mine.png")).require_trainable()


def test_training_contents_and_styles_are_trained_on() -> None:
    for style in ("ihc", "brick", "grass"):
        NeuralArt(contents="train", style=style).require_trainable()


def test_tuning_sees_no_test_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("l2obench.tasks.neural_art.read_image", lambda name: opened.append(name) or read_image(name))
    monkeypatch.setattr("l2obench.bench.measure.tuning.FIRST", -6)
    monkeypatch.setattr("l2obench.bench.measure.tuning.LAST", -2)
    monkeypatch.setattr("l2obench.bench.measure.tuning._beyond", lambda *_: [])
    tuning = tune(NeuralArt(horizon=1), SGD(), 8)
    assert not set(opened) & {*CONTENTS["test"], *TEST_STYLES}
    assert set(opened) & {*CONTENTS["train"]}
    assert {row["task"] for row in tuning.rows} == {"neural-art[horizon=1]"}


@pytest.mark.parametrize(
    ("mode", "size"), [("L", (200, 90)), ("RGBA", (64, 64)), ("RGB", (16, 300)), ("P", (40, 40)), ("RGB", (2500, 2500))]
)
def test_any_image_is_content_or_style(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    path = tmp_path / "image, mine [1].png"
    Image.effect_noise(size, 80).convert("RGB").convert(mode).save(path)
    task = NeuralArt(contents=str(path), style=str(path))
    task.require_data()
    problem = task.sample(generator(1))
    assert task.loss(problem.params, problem.data).isfinite()


def test_what_is_no_image_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    for name in ("notes.png", "tiny.png", "absent.png"):
        for field in ("style", "contents"):
            task = task_registry().create(f'neural-art[{field}="{tmp_path / name}"]')
            with pytest.raises(ImageError, match=name):
                task.require_data()


def test_a_plain_image_gives_a_finite_loss(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "black").save(tmp_path / "black.png")
    task = NeuralArt(contents=str(tmp_path / "black.png"), style=str(tmp_path / "black.png"))
    problem = task.sample(generator(1))
    assert task.loss(problem.params, problem.data).isfinite()
