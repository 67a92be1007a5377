"""The authors' own files, where somebody has them and says so: `L2OBENCH_PUBLISHED_WEIGHTS=FOLDER pytest …`."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.checkpoint import CheckpointError
from l2obench.optimizers.published.conversion import SOURCES, convert

FOLDER = os.environ.get("L2OBENCH_PUBLISHED_WEIGHTS")
ENDINGS = ("theta.state", "params", ".safetensors", ".l2l-0")
FILES = [path for path in sorted(Path(FOLDER or "nowhere").glob("*")) if path.name.endswith(ENDINGS)]

pytestmark = pytest.mark.skipif(not FILES, reason="no folder of published weights is named")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_published_file_trains_a_small_model(path: Path, tmp_path: Path) -> None:
    try:
        name, content = convert(path)
    except CheckpointError:
        if b'"l2obench"' in path.read_bytes()[:4096]:
            pytest.skip("it is a checkpoint already")
        raise
    checkpoint = tmp_path / "weights.safetensors"
    checkpoint.write_bytes(content)
    rule: Any = optimizer_registry().create(name, {"checkpoint": str(checkpoint)})
    assert rule.recipe["licence"] == SOURCES[name][1]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    x = torch.randn(64, 4)
    optimizer = DropIn(model.parameters(), rule, num_steps=200)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (model(x) - x.sum(1, keepdim=True).sin()).square().mean()
        loss.backward()
        optimizer.step(loss=loss)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
