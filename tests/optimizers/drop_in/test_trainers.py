"""Lightning, Accelerate and the Trainer of transformers train with our optimizers as a plain loop does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import l2obench

STEPS = 8
CELO = "celo[checkpoint=random]"
NAMES = ["adam", "general", CELO, "celo2[checkpoint=random]", "nadam"]
every_kind = pytest.mark.parametrize("name", NAMES)
"""A rule that steps all tensors at once, a coordinatewise learned one, one that needs loss and horizon, one that looks
at whole tensors, and one of a library."""


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, x.sum(1, keepdim=True).sin()


def small_net() -> torch.nn.Module:
    """In float64, since a learned rule magnifies rounding."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()


def mean_square(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (model(x) - y).square().mean()


def make(name: str, model: torch.nn.Module, **values: Any) -> Any:
    return l2obench.load(name, model.named_parameters(), num_steps=STEPS, **values)


def plainly_trained(name: str, most: float | None = None) -> torch.nn.Module:
    """After `STEPS` steps on all of the data in a loop of one's own."""
    model = small_net()
    optimizer = make(name, model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = mean_square(model, *data())
        loss.backward()
        if most is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), most)
        optimizer.step(loss=loss)
    return model


def lightning_module(name: str) -> Any:
    """The same net as Lightning trains it."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return mean_square(self.net, *batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            optimizer: torch.optim.Optimizer = make(name, self.net)
            return optimizer

    return Module()


def assert_same(model: torch.nn.Module, expected: torch.nn.Module, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    moved = [(now - old).abs().max() for now, old in zip(model.parameters(), small_net().parameters(), strict=True)]
    assert max(moved) > 1e-6
    for mine, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=rtol, atol=atol)


@every_kind
@pytest.mark.filterwarnings("ignore")
def test_lightning(name: str, tmp_path: Path) -> None:
    """Lightning calls `step` with a closure that returns the loss."""
    lightning = pytest.importorskip("lightning")

    module = lightning_module(name)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        max_epochs=STEPS, accelerator="cpu", enable_checkpointing=False, default_root_dir=tmp_path, **quiet
    )
    trainer.fit(module, DataLoader(TensorDataset(*data()), batch_size=32))
    assert_same(module.net, plainly_trained(name))


@pytest.mark.filterwarnings("ignore")
def test_lightning_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    def trainer(epochs: int) -> Any:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        return lightning.Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=tmp_path, **quiet)

    loader = DataLoader(TensorDataset(*data()), batch_size=32)
    first, second = trainer(STEPS // 2), lightning_module(CELO)
    first.fit(lightning_module(CELO), loader)
    first.save_checkpoint(tmp_path / "half.ckpt")
    trainer(STEPS).fit(second, loader, ckpt_path=tmp_path / "half.ckpt")
    assert_same(second.net, plainly_trained(CELO))


@every_kind
def test_accelerate_with_accumulation_and_clipping(name: str) -> None:
    """Two halves of the data are one step; `observe` hands over their losses, for Accelerate's `step` takes none."""
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = small_net()
    optimizer = make(name, model)
    loader = DataLoader(TensorDataset(*data()), batch_size=16)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    wrapped, stepper, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    for _ in range(STEPS):
        for x, y in loader:
            with accelerator.accumulate(wrapped):
                loss = mean_square(wrapped, x, y)
                optimizer.observe(loss)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(wrapped.parameters(), 0.1)
                stepper.step()
                schedule.step()
                stepper.zero_grad()
    assert_same(model, plainly_trained(name, most=0.1))


@every_kind
def test_the_trainer_of_transformers(name: str, tmp_path: Path) -> None:
    """It takes our optimizer, and a training step of three lines hands over the loss."""
    transformers = pytest.importorskip("transformers")

    class Regression(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": mean_square(self.net, x, labels)}

    class Trainer(transformers.Trainer):  # type: ignore[misc,name-defined]
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            optimizer.observe(loss)
            return loss

    model = Regression()
    optimizer = make(name, model.net)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=STEPS,
        per_device_train_batch_size=32,
        max_grad_norm=0,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    rows = [{"x": x, "labels": y} for x, y in zip(*data(), strict=True)]
    Trainer(model=model, args=settings, train_dataset=rows, optimizers=(optimizer, constant)).train()
    assert_same(model.net, plainly_trained(name))


def test_losses_that_are_handed_over_count_by_their_mean_and_once() -> None:
    """As `step(loss=…)` with the mean; the next step needs its own."""
    first, second = small_net(), small_net()
    ours, theirs = make("celo[checkpoint=random]", first), make("celo[checkpoint=random]", second)
    for model, optimizer in ((first, ours), (second, theirs)):
        mean_square(model, *data()).backward()
        assert optimizer is not None
    for loss in (torch.tensor(1.0, requires_grad=True), 3.0):
        ours.observe(loss)
    ours.step()
    theirs.step(loss=2.0)
    assert_same(first, second)
    with pytest.raises(ValueError, match="celo needs the loss at every step"):
        ours.step()
