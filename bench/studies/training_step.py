"""What a rule costs where a model is trained: `python -m l2obench.bench.studies.training_step general relative-muon`.

A training step is forward, backward and update. It is compared with that of `torch.optim.AdamW`, in processor time.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.fused.rule import fused
from l2obench.optimizers.learned.fused.step import numba_is_installed

WIDTH, LAYERS, CONTEXT, WINDOWS, CHARACTERS = 128, 4, 64, 16, 65
CHANNELS, IMAGES = 32, 64
ROUNDS, WARM_UP = 20, 11
"""Steps that count, and those before them: the first makes the state, and ten look for embeddings."""
ADAMW = "torch.optim.AdamW"


class GPT(nn.Module):
    """A GPT of characters, 818,000 parameters, on windows of 64 characters."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(CHARACTERS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, CHARACTERS)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, text: Tensor) -> Tensor:
        h = self.characters(text) + self.places.weight
        for block in self.blocks:
            h = block(h, src_mask=self.mask, is_causal=True)
        scores: Tensor = self.head(h)
        return scores


def make_gpt() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """A GPT, and its loss on sixteen random windows."""
    torch.manual_seed(0)
    text = torch.randint(CHARACTERS, (WINDOWS, CONTEXT + 1))
    return GPT(), lambda model: cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())


def make_cnn() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Six convolutions with batch norm, 289,000 parameters, and its loss on 64 random images of 32×32 pixels."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    inputs = 3
    for outputs, stride in ((1, 1), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1)):
        outputs *= CHANNELS
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))
    images, labels = torch.randn(IMAGES, 3, 32, 32), torch.randint(10, (IMAGES,))
    return model, lambda found: cross_entropy(found(images), labels)


MODELS = {"GPT": make_gpt, "CNN": make_cnn}


def make_optimizer(identity: str, model: nn.Module) -> Any:
    """The optimizer that trains a model for 1,000 steps, with its fused step where `l2obench.load` has it.

    Args:
        identity: of a rule of ours, or `torch.optim.AdamW`, which is torch's own.
        model: to train.
    """
    if identity == ADAMW:
        return torch.optim.AdamW(model.parameters(), lr=1e-4)
    rule = optimizer_registry().create(identity)
    return DropIn(model.parameters(), fused(rule) if numba_is_installed() else rule, num_steps=1000)


def measure(model: str, identities: list[str], rounds: int = ROUNDS) -> dict[str, float]:
    """Median processor time of a training step in seconds, in interleaved rounds.

    Args:
        model: one of `MODELS`.
        identities: of the optimizers; each trains a model of its own.
        rounds: how many steps count.

    Example:
        >>> sorted(measure("GPT", ["adam"], rounds=1))
        ['adam']
    """
    trained: dict[str, Any] = {}
    for identity in identities:
        made, loss_of = MODELS[model]()
        trained[identity] = made, loss_of, make_optimizer(identity, made)
    seconds: dict[str, list[float]] = {identity: [] for identity in identities}
    for _ in range(WARM_UP + rounds):
        for identity, (made, loss_of, optimizer) in trained.items():
            began = time.process_time()
            optimizer.zero_grad()
            loss = loss_of(made)
            loss.backward()
            optimizer.step() if identity == ADAMW else optimizer.step(loss=loss)
            seconds[identity].append(time.process_time() - began)
    return {identity: statistics.median(times[WARM_UP:]) for identity, times in seconds.items()}


def main(
    optimizers: Annotated[list[str], typer.Argument(help="Identities of optimizers, or names of checkpoints.")],
    runs: Annotated[int, typer.Option(min=1, help="Measure so often; the medians count.")] = 3,
    to: Annotated[Path | None, typer.Option(help="A .csv file for the rows.")] = None,
) -> None:
    """Print the processor time of a training step over that with `torch.optim.AdamW`, one thread."""
    torch.set_num_threads(1)
    rows = []
    for model in MODELS:
        found = pd.DataFrame([measure(model, [ADAMW, *optimizers]) for _ in range(runs)])
        ratios = found.div(found[ADAMW], axis=0).median()
        milliseconds = 1e3 * found.median()
        parameters = sum(parameter.numel() for parameter in MODELS[model]()[0].parameters())
        of_model = {"model": model, "parameters": parameters}
        rows += [
            {**of_model, "optimizer": name, "milliseconds": milliseconds[name], "over_adamw": ratios[name]}
            for name in found.columns
        ]
        told = ", ".join(f"{name} {ratios[name]:.2f}" for name in optimizers)
        typer.echo(f"{model}: AdamW {milliseconds[ADAMW]:.1f} ms; ÷ AdamW: {told}")
    if to is not None:
        pd.DataFrame(rows).assign(runs=runs).to_csv(to, index=False, float_format="%.4g")


if __name__ == "__main__":
    typer.run(main)
