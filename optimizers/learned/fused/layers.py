"""The compiled step of a tensor by layers of LSTM cells, for rules that ask for it, over the threads that torch has."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from l2obench.optimizers.base import Tensors

# Coordinates of a thread at a time: their inputs stay in the cache, and calls cost nothing beside them.
CHUNK = 16_384
# Weights of more units leave the cache, and the products of torch are faster.
MOST_UNITS = 128


def fused_cells(
    phi: Tensors,
    names: Sequence[str],
    inputs_of: Callable[[slice], Tensor],
    hidden: Tensor,
    cell: Tensor,
    log_inputs: tuple[int, float] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of all layers, and their linear output, of one network or of a stack.

    Args:
        phi: meta-parameters by name; of a stack `[networks, …]` each.
        names: of the layers from below: perhaps `input`, with ELU; those of the cells; `output`.
        inputs_of: gives inputs `[inputs, some]` of a part of the coordinates. Threads may call it.
        hidden: `[layers, units, coordinates]`, or of a stack `[layers, networks, units, coordinates]`; overwritten.
        cell: likewise.
        log_inputs: number of inputs and p of `RecurrentOptimizer.preprocess`, which the program computes: `inputs_of`
            gives gradients, `[1, some]`. None: `inputs_of` gives inputs.

    Returns:
        The output, `[coordinates]`, of a stack network by network; the next hidden state and cell.
    """
    # Compiling, or reading compiled programs, takes a moment: only who steps waits for it.
    from l2obench.optimizers.learned.fused.cells import step_cells
    from l2obench.optimizers.learned.fused.gradient_inputs import NONE, as_preprocessing

    layers, *stack, units, coordinates = hidden.shape
    hidden, cell = hidden.contiguous(), cell.contiguous()
    networks = math.prod(stack)
    together = networks * coordinates
    output = torch.empty(together)
    parts = [phi[f"{name}.{part}"] for name in names for part in ("weight", "bias")]
    rows = np.concatenate([part.detach().numpy().reshape(networks, -1) for part in parts], 1)
    rows = rows.astype(np.float32, copy=False)
    below, inputs = parts[0].shape[-2:] if len(names) > layers + 1 else (0, parts[0].shape[-1] - units)
    made = NONE if log_inputs is None else as_preprocessing(*log_inputs)
    memory = hidden.view(-1).numpy(), cell.view(-1).numpy()

    @torch.no_grad()
    def step(begin: int) -> None:
        part = slice(begin, min(begin + CHUNK, together))
        x = inputs_of(part).contiguous().numpy()
        step_cells(rows, (inputs, below, units, layers), made, x, begin, *memory, coordinates, output[part].numpy())

    starts = range(0, together, CHUNK)
    threads = min(torch.get_num_threads(), len(starts))
    if threads == 1:
        for begin in starts:
            step(begin)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(step, starts))
    return output, hidden, cell
