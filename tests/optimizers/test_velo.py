"""VeLO: ten steps of the reference implementation, its weights file, what the engine tells it, and who hears of whom."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.cli import main
from bench.problems import Problems
from bench.rollout import rollout, start
from optimizers.base import State, Tensors
from optimizers.checkpoint import CheckpointError
from optimizers.velo import VeLO
from optimizers.velo_weights import convert
from tasks.quadratic import Quadratic

HERE = Path(__file__).parent
WEIGHTS, TRACE = HERE / "velo_reference.msgpack", HERE / "velo_reference.safetensors"
HORIZON = 12


@pytest.fixture
def reference(tmp_path: Path) -> VeLO:
    """The reference's weights, converted."""
    path = tmp_path / "velo.safetensors"
    path.write_bytes(convert(WEIGHTS))
    return VeLO(checkpoint=str(path))


def trace() -> Iterator[tuple[Tensors, Tensors, torch.Tensor, Tensors]]:
    """Parameters, gradients, loss and the parameters after it, of each step, as one replica."""
    stored = load_file(TRACE)

    def of(step: int, part: str) -> Tensors:
        prefix = f"{step}/{part}/"
        return {name.removeprefix(prefix): v[None, None] for name, v in stored.items() if name.startswith(prefix)}

    for step in range(10):
        yield of(step, "params"), of(step, "grads"), stored[f"{step}/loss"].reshape(1, 1), of(step + 1, "params")


def test_updates_are_those_of_the_reference_implementation(reference: VeLO) -> None:
    """Ten of twelve steps of `HyperV2` (google/learned_optimization, `research/general_lopt/hyper_v2.py`) in float32.

    It ran with lstm_hidden_size=8, param_inits=6, both `use_bugged_…` off, on a scalar, a vector that begins at zero, a
    4 × 3 matrix and a 2 × 3 × 2 × 2 kernel. Its weights: `HyperV2.init` at key 0, plus 0.3 · N(0, 1) from numpy's
    generator 0 for every one, the bank's then times 0.2; written by `checkpoints.save_state` as a `ParameterCheckpoint`.
    From the same generator the parameters, losses (2 · 0.8ᵗ + 0.1 · N(0, 1), the sixth 9, so that it is cut) and
    gradients, standard normal; the matrix has one 3,000 times as large, beyond the bound. jax 0.10.2, dm-haiku 0.0.17,
    flax 0.12.8; tensorflow, which only writes elsewhere, was replaced by a mock.
    """
    state: State | None = None
    with torch.no_grad():
        for step, (params, grads, loss, after) in enumerate(trace()):
            state = reference.told(reference.init(params) if state is None else state, loss, HORIZON)
            updates, state = reference.update(grads, state, params)
            for name, update in updates.items():
                expected = after[name] - params[name]
                rounding = 1e-6 * float(params[name].abs().max())  # of the reference's θ − step, taken apart again
                assert expected.abs().max() > 100 * rounding
                torch.testing.assert_close(
                    update, expected, rtol=1e-4, atol=rounding, msg=lambda text, at=(name, step): f"{at}: {text}"
                )
