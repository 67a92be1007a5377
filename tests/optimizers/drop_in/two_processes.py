"""What each of two processes does in the tests of distributed training. They import this file anew."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import l2obench

STEPS = 6
WORLD = 2


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, x.sum(1, keepdim=True).sin()


def small_net() -> torch.nn.Sequential:
    """Its 7 units do not divide evenly among two processes. In float64, since a learned rule magnifies rounding."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)).double()


def make(name: str, model: torch.nn.Module) -> Any:
    return l2obench.load(name, model.parameters(), num_steps=2 * STEPS)


def train(model: torch.nn.Module, optimizer: Any, part: slice, steps: int = STEPS) -> None:
    """Steps on a part of the data; the loss that the optimizer is given is that of all processes."""
    x, y = data()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x[part]) - y[part]).square().mean()
        loss.backward()
        mean = loss.detach().clone()
        if dist.is_initialized():
            dist.all_reduce(mean)
            mean /= WORLD
        optimizer.step(loss=mean)


def half(rank: int) -> slice:
    return slice(8 * rank, 8 * (rank + 1))


def sharded(rank: int) -> torch.nn.Module:
    mesh = init_device_mesh("cpu", (WORLD,))
    model = small_net()
    for layer in (model[0], model[2]):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def gathered(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("module."): (value.full_tensor() if hasattr(value, "full_tensor") else value).clone()
        for name, value in model.state_dict().items()
    }


def run(rank: int, folder: Path, names: list[str]) -> None:
    """Train by each optimizer in each way, and leave the parameters of this process in the folder."""
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORLD)
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in names:
        model: torch.nn.Module = DistributedDataParallel(small_net())
        train(model, make(name, model), half(rank))
        found[f"ddp {name}"] = gathered(model)

        model = sharded(rank)
        optimizer = make(name, model)
        train(model, optimizer, half(rank))
        found[f"fsdp {name}"] = gathered(model)

        state = dict(zip(("model", "optimizer"), get_state_dict(model, optimizer), strict=True))
        checkpoint.save(state, checkpoint_id=folder / name)
        train(model, optimizer, half(rank))
        twin = sharded(rank)
        restored = make(name, twin)
        held = dict(zip(("model", "optimizer"), get_state_dict(twin, restored), strict=True))
        checkpoint.load(held, checkpoint_id=folder / name)
        set_state_dict(twin, restored, model_state_dict=held["model"], optim_state_dict=held["optimizer"])
        train(twin, restored, half(rank))
        found[f"further {name}"] = gathered(model)
        found[f"restored {name}"] = gathered(twin)

        skipped = make(name, model)
        model.zero_grad()
        (model(data()[0][half(rank)]).square().mean() * (float("nan") if rank else 1.0)).backward()
        before = gathered(model)
        skipped.step(loss=1.0)
        same = all(torch.equal(value, before[key]) for key, value in gathered(model).items())
        found[f"skipped {name}"] = {"skipped": torch.tensor(skipped.skipped_steps), "same": torch.tensor(same)}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()
