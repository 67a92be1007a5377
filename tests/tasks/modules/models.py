"""Small models of every common kind, as tasks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from l2obench.tasks.module import ModuleTask


def images() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(60, 3, 6, 6, generator=random), torch.randint(5, (60,), generator=random)


def sentences() -> Tensor:
    return torch.randint(12, (40, 6), generator=torch.Generator().manual_seed(1))


class Residual(nn.Module):
    """A residual block with batch norm, dropout, and a linear layer."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x)).relu()
        h = (h + self.second_norm(self.second(h))).relu()
        return self.out(self.drop(h.mean((2, 3))))  # type: ignore[no-any-return]


class ResidualTask(ModuleTask):
    dropout: float = 0.0

    def make_model(self) -> nn.Module:
        return Residual(self.dropout)

    def training_data(self) -> Any:
        return images()

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        x, y = batch
        return functional.cross_entropy(model(x), y)

    def heldout_data(self) -> Any:
        x, y = images()
        return x[:20] + 0.1, y[:20]

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        x, y = batch
        logits = model(x)
        return {
            "loss": functional.cross_entropy(logits, y),
            "accuracy": (logits.argmax(1) == y).float().mean(),
            "confidence": logits.softmax(1).amax(1).mean(),
        }


class Branching(nn.Module):
    """Control flow that depends on values: `torch.vmap` refuses it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if y.mean() > 0 else y


class BranchingTask(ModuleTask):
    def make_model(self) -> nn.Module:
        return Branching()

    def training_data(self) -> Any:
        x, y = images()
        return x[:, :, 0, 0], y.float()

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        x, y = batch
        return (model(x).squeeze(1) - y).square().mean()


class Recurrent(nn.Module):
    """A GRU over an embedding that is tied to the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 4)
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.out = nn.Linear(4, 12)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.gru(self.embedding(tokens))[0])  # type: ignore[no-any-return]


class RecurrentTask(ModuleTask):
    def make_model(self) -> nn.Module:
        return Recurrent()

    def training_data(self) -> Any:
        return sentences()

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        return functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


class FrozenTask(ResidualTask):
    """The first convolution is frozen, and its batch norm in evaluation mode."""

    def make_model(self) -> nn.Module:
        model = Residual()
        model.first.requires_grad_(False)
        model.norm.eval()
        return model


class DictTask(ModuleTask):
    """Minibatches that are dictionaries, with an input that is optional."""

    def make_model(self) -> nn.Module:
        return nn.Bilinear(4, 3, 1)

    def training_data(self) -> Any:
        random = torch.Generator().manual_seed(2)
        x, z = torch.randn(30, 4, generator=random), torch.randn(30, 3, generator=random)
        return {"inputs": {"x": x.numpy(), "z": z.double()}, "target": x.sum(1)}

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        found = model(batch["inputs"]["x"], batch["inputs"]["z"])
        return functional.mse_loss(found.squeeze(1), batch["target"])


class LoaderTask(ResidualTask):
    """A `DataLoader` with workers of its own."""

    workers: int = 0
    size: int = 16

    def training_data(self) -> Any:
        return DataLoader(TensorDataset(*images()), batch_size=self.size, shuffle=True, num_workers=self.workers)


class FunctionTask(ResidualTask):
    """Minibatches from a function, two an epoch, one of them by the global generator."""

    def training_data(self) -> Any:
        raise AssertionError("not asked for")

    def minibatches(self, generator: torch.Generator) -> Iterator[Any]:
        x, y = images()
        rows = torch.randint(60, (8,), generator=generator)
        yield x[rows], y[rows]
        rows = torch.randint(60, (8,))
        yield x[rows], y[rows]
