"""The loop that everyone writes around a module: one seed after the other, `backward` and `torch.optim.Adam`."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, scaled_dot_product_attention

from l2obench.bench.rollout.problems import Problems
from l2obench.tasks.autoencoder import Autoencoder
from l2obench.tasks.base import Task, Tensors
from l2obench.tasks.module import ModuleTask
from l2obench.tasks.transformer import CharTransformer
from tests.benchmarks.peers.torch_loop import torch_loop

Loss = Callable[[nn.Module, Tensors], Tensor]


def module_loop(task: Task, seeds: list[int], rate: float) -> Tensor:
    """Losses `[seeds, steps + 1]` of Adam, on the rollout's functions and minibatches."""
    if task.name == "cifar-cnn":
        return torch_loop(task, seeds, [rate])[:, 0]
    return torch.stack([_train(task, seed, rate) for seed in seeds])


@torch.enable_grad()
def _train(task: Task, seed: int, rate: float) -> Tensor:
    problems = Problems(task, [seed])
    model, loss_of = _made(task)
    start = {name: value[0] for name, value in {**problems.start, **problems.buffers}.items()}
    model.load_state_dict(_renamed(task, start))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for batch in _minibatches(problems, task.horizon):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        last = loss_of(model, next(_minibatches(problems, 1)))
    return torch.tensor([*losses, last.item()])


def _minibatches(problems: Problems, steps: int) -> Iterator[Tensors]:
    return ({name: value[0] for name, value in problems.minibatch().items()} for _ in range(steps))


def _made(task: Task) -> tuple[nn.Module, Loss]:
    if isinstance(task, CharTransformer):
        return Transformer(task), lambda model, batch: _next_character(model(batch["text"][:, :-1]), batch["text"])
    if isinstance(task, Autoencoder):
        widths = [784, task.units, task.code, task.units, 784]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        model = nn.Sequential(*layers[:-1], nn.Sigmoid())
        return model, lambda model, batch: mse_loss(model(batch["x"]), batch["x"])
    assert isinstance(task, ModuleTask)
    return task.make_model(), lambda model, batch: cross_entropy(model(batch["batch[0]"]), batch["batch[1]"])


def _next_character(scores: Tensor, text: Tensor) -> Tensor:
    return cross_entropy(scores.flatten(0, 1), text[:, 1:].flatten())


class Transformer(nn.Module):
    """`char-transformer` with layers and attention of PyTorch."""

    def __init__(self, task: CharTransformer) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(task.sample(torch.Generator()).params["head.weight"]), task.width)
        self.places = nn.Embedding(task.context, task.width)
        self.blocks = nn.ModuleList(Block(task.width, task.heads) for _ in range(task.layers))
        self.norm = nn.LayerNorm(task.width)
        self.head = nn.Linear(task.width, self.characters.num_embeddings)

    def forward(self, text: Tensor) -> Any:
        h = self.characters(text) + self.places.weight
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


class Block(nn.Module):
    """Attention and a perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Any:
        q, k, v = self.qkv(self.attention_norm(h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.out(mixed.transpose(1, 2).flatten(2))
        return h + self.mlp(self.mlp_norm(h))


def _renamed(task: Task, start: Tensors) -> Tensors:
    """Parameters by the names of the modules here."""
    if isinstance(task, ModuleTask):
        return start
    if isinstance(task, Autoencoder):
        parts = {"w": "weight", "b": "bias"}
        return {f"{2 * int(name[1:])}.{parts[name[0]]}": value for name, value in start.items()}
    return {_of_transformer(name): value for name, value in start.items()}


def _of_transformer(name: str) -> str:
    if name.startswith("embed."):
        return f"{name.removeprefix('embed.')}.weight"
    part, kind = name.split(".")
    ends = {"gain": "weight", "shift": "bias"}
    if part == "head":
        return f"norm.{ends[kind]}" if kind in ends else name
    if part.startswith("attention"):
        block = f"blocks.{part.removeprefix('attention')}"
        return f"{block}.attention_norm.{ends[kind]}" if kind in ends else f"{block}.{_layer(kind)}"
    block = f"blocks.{part.removeprefix('mlp')}"
    if kind in ends:
        return f"{block}.mlp_norm.{ends[kind]}"
    return f"{block}.mlp.{_layer(kind).replace('in.', '0.').replace('out.', '2.')}"


def _layer(kind: str) -> str:
    return f"{kind.removesuffix('_bias')}.{'bias' if kind.endswith('_bias') else 'weight'}"
