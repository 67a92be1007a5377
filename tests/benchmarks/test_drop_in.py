"""A step of our optimizers in a training loop beside torch.optim: one large tensor, and the tensors of a small GPT."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import l2obench

STEPS = 20
GPT = [(64, 64), (64,), (256, 64), (256,), (64, 256), (64,)] * 8
SHAPES = {"one tensor of 65,536": [(256, 256)], "48 tensors of a GPT": GPT}
PEERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9),
    "nag": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9, nesterov=True),
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
# Adam's is asked for; the others show what the look for gradients that are not finite costs beside one cheap pass.
BARS = {"adam": ("≥ 0.95", "1.0"), "adamw": ("≥ 0.95", "1.0")}


def trained(make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer], shapes: list[Any]) -> torch.Tensor:
    """The parameters after some steps on fixed gradients, in a row."""
    random = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in shapes]
    for param in params:
        param.grad = 0.1 * torch.randn(param.shape, generator=random)
    optimizer = make(params)
    for _ in range(STEPS):
        optimizer.step()
    return torch.cat([param.detach().flatten() for param in params])


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("model", SHAPES)
def test_a_step_beside_torch(race: Callable[..., Any], full: bool, model: str, name: str) -> None:
    shapes = SHAPES[model] if full else [(3, 2), (4,)]
    peers = {"torch.optim": lambda: trained(lambda params: PEERS[name](params, lr=1e-3), shapes)}
    if name in ("adam", "adamw"):
        fused = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        peers["torch.optim, fused"] = lambda: trained(lambda params: fused(params, lr=1e-3, fused=True), shapes)
    results = race(
        f"drop-in {name}, {STEPS} steps, {model}",
        lambda: trained(lambda params: l2obench.load(name, params, lr=1e-3), shapes),
        peers,
        {"torch.optim": BARS.get(name, ("", ""))},
    )
    for result in results.values():
        torch.testing.assert_close(result, results["ours"], rtol=1e-4, atol=1e-6)
