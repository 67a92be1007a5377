"""The compiled step of one tensor, for rules that ask for it. Their own path in torch is the reference.

Numbers are equal to those of torch up to rounding. numba is imported at the first step, and not before.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2obench.optimizers.base import State
from l2obench.optimizers.learned.accumulators import FACTORED_DECAYS, MOMENTUM_DECAYS, factored_dimensions

PACKAGE = "numba"
HOW_TO_INSTALL = "pip install 'numba>=0.61'"
Array = NDArray[Any]
Network = tuple[Array, ...]
# Which of a rule's features the kernel's first eighteen are; −1: the rule lacks it. And where its features of r begin.
OF_ADAFAC = (np.array([*range(13), 25, 26, 27, -1, -1]), 13)
OF_CELO = (np.array([0, *range(2, 14), 27, 28, 29, 1, 14]), 15)
INITIAL_RATES = tuple(
    np.array([1 - decay for decay in decays], dtype=np.float32) for decays in (MOMENTUM_DECAYS, FACTORED_DECAYS)
)
NO_LAYER = np.zeros((0, 1, 1), dtype=np.float32)
NO_COLUMNS = np.zeros((3, 0, 0), dtype=np.float32)


@dataclass(frozen=True)
class Formula:
    """What differs between the rules, but for the decays, the network and the size of a step."""

    like_celo: bool
    """Whether the features are those of `coordinate_features`; else those of `adafac-mlp`."""
    outputs_are_largest: bool = True
    """As in `accumulate`."""
    largest_gradient: float = math.inf
    """Gradients are kept within ± this."""
    epsilon: float = 1e-6
    """ε beside v, under the root."""
    smallest_of_vectors: float = 0.0
    """As in `accumulate`."""
    feature_epsilon: float = 1e-5
    """ε under the root of a feature's mean square."""
    magnitude_scale: float = 1e-3


@dataclass(frozen=True)
class Rates:
    """1 − β of the accumulators: three of m, one of v, three of r and c."""

    momentum: Array
    square: float
    factored: Array


def fixed_rates(square_decay: float) -> Rates:
    """The decays of rules that do not learn them.

    Args:
        square_decay: β of v.
    """
    return Rates(INITIAL_RATES[0], 1 - square_decay, INITIAL_RATES[1])


def learned_rates(square_decay: float, learned: Mapping[str, Tensor]) -> Rates:
    """The decays of rules that learn them, as `adafac-mlp` says.

    Args:
        square_decay: β of v before training.
        learned: δ of `momentum_decays`, `square_decay` and `factored_decays`.
    """
    momentum, square, factored = (
        np.exp(np.float32(10) * learned[name].detach().numpy().astype(np.float32, copy=False))
        for name in ("momentum_decays", "square_decay", "factored_decays")
    )
    of_square = min(float(np.float32(1 - square_decay) * square), 1.0)
    return Rates(INITIAL_RATES[0] * momentum, of_square, (INITIAL_RATES[1] * factored).clip(0, 1))


def numba_is_installed() -> bool:
    """Whether the compiled step can be had. numba is not imported for that."""
    return importlib.util.find_spec(PACKAGE) is not None


def can_be_fused(*tensors: Tensor) -> bool:
    """Whether the compiled step takes tensors: plain ones of float32 on the CPU, where nothing records or traces.

    Args:
        tensors: a gradient, its parameter, and their state.

    Example:
        >>> with torch.no_grad():
        ...     can_be_fused(torch.ones(1, 1, 3)), can_be_fused(torch.ones(1, 1, 3, dtype=torch.float64))
        (True, False)
        >>> can_be_fused(torch.ones(1, 1, 3))  # autograd records
        False
    """
    # Modes see every operation of torch, to count them or to do without memory; the kernel would hide its own.
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    return all(
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.is_cpu
        and tensor.dtype == torch.float32
        and tensor.numel() > 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        for tensor in tensors
    )


def as_network(layers: Sequence[tuple[Tensor, Tensor]], time: Array | None = None) -> Network:
    """Layers as the kernel takes them.

    Args:
        layers: two or more weights `[outputs, inputs]` with biases `[outputs]`, or one for each replica,
            `[replicas, outputs, inputs]` and `[replicas, outputs]`.
        time: last inputs of the first layer that are the same for all coordinates; its bias takes them in.
    """
    # In numpy, whose calls take a third of the time of torch's: of small tensors the calls are what costs.
    stacked = [(_as_stack(weight, 3), _as_stack(bias, 2)) for weight, bias in layers]
    (first, first_bias), *between, (last, last_bias) = stacked
    if time is not None:
        first, of_time = first[..., : -len(time)], first[..., -len(time) :]
        first_bias = first_bias + of_time @ time
    weights = np.stack([weight for weight, _ in between], 1) if between else NO_LAYER[None].repeat(len(first), 0)
    biases = np.stack([bias for _, bias in between], 1) if between else weights[..., 0]
    return tuple(map(np.ascontiguousarray, (first, first_bias, weights, biases, last, last_bias)))


def _as_stack(weight: Tensor, dimensions: int) -> Array:
    """Of float32, with a dimension of replicas in front."""
    array: Array = weight.detach().numpy().astype(np.float32, copy=False)
    return array if array.ndim == dimensions else array[None]


def fused_step(
    grad: Tensor,
    param: Tensor,
    memory: State,
    rates: Rates,
    formula: Formula,
    network: Network,
    size: Tensor | float = 1.0,
    nominal: Tensor | float = 0.0,
) -> tuple[Tensor, State]:
    """Take a gradient into the accumulators of its tensor, and apply the network to every coordinate.

    Args:
        grad: `[seeds, settings, ...]`.
        param: θ, likewise.
        memory: of this tensor, as `accumulate` has it; consumed.
        rates: of the decays.
        formula: the rule's.
        network: from `as_network`.
        size: what d e^a is multiplied by, a number or `[seeds, settings]`. Not used where there is one output.
        nominal: the same for the nominal term of `star`, whose network has three outputs.

    Returns:
        The update, or the network's one output, of the shape of `grad`; and the tensor's next state.
    """
    # Compiling, or reading compiled programs, takes a moment: only who steps waits for it.
    from l2obench.optimizers.learned.fused.kernel import step_replicas

    replicas = grad.shape[:2].numel()
    after = {part: value.contiguous() for part, value in memory.items()}
    update = torch.empty(param.shape)
    dims = factored_dimensions(grad, formula.outputs_are_largest)
    shape, outer_is_rows = (1, 1, 1, 1, 1), True
    if dims is not None:
        first, last = sorted(dims)
        before, between, beyond = grad.shape[2:first], grad.shape[first + 1 : last], grad.shape[last + 1 :]
        shape = (math.prod(before), grad.shape[first], math.prod(between), grad.shape[last], math.prod(beyond))
        outer_is_rows = dims[1] == last
    step_replicas(
        (
            as_rows(grad),
            as_rows(param),
            after["momenta"].view(3, replicas, -1).numpy(),
            as_rows(after["square"]),
            after["rows"].view(3, replicas, -1).numpy(),
        ),
        NO_COLUMNS if dims is None else after["columns"].view(3, replicas, -1).numpy(),
        as_rows(update),
        shape,
        outer_is_rows,
        dims is not None,
        (rates.momentum, np.float32(rates.square), rates.factored),
        np.float32(formula.largest_gradient),
        (np.float32(formula.epsilon), np.float32(formula.smallest_of_vectors), np.float32(formula.feature_epsilon)),
        OF_CELO if formula.like_celo else OF_ADAFAC,
        network,
        (_of_replicas(size, grad), _of_replicas(nominal, grad), np.float32(formula.magnitude_scale)),
    )
    return update, after


def as_rows(tensor: Tensor) -> Array:
    """A tensor as the compiled passes take it, `[replicas, coordinates]`: its own memory where that is contiguous.

    Args:
        tensor: `[seeds, settings, ...]`.
    """
    # Each tensor comes here a dozen times a step: NumPy's reshape takes half as long as torch's.
    shape, rows = tensor.shape, tensor.detach().numpy()
    found: Array = rows.reshape(shape[0] * shape[1], -1)
    return found


def means_and_spreads(values: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the last dimension and mean squares around them, without memory for the differences.

    Args:
        values: that `can_be_fused` takes.
    """
    from l2obench.optimizers.learned.fused import moments

    means, spreads = moments.means_and_spreads(values.reshape(-1, values.shape[-1]).contiguous().numpy())
    return torch.from_numpy(means).view(values.shape[:-1]), torch.from_numpy(spreads).view(values.shape[:-1])


def mean_squares(param: Tensor) -> Tensor:
    """The mean of θ² over a tensor, `[seeds, settings]`, without memory for the squares.

    Args:
        param: that `can_be_fused` takes, `[seeds, settings, ...]`.
    """
    from l2obench.optimizers.learned.fused import moments

    return torch.from_numpy(moments.mean_squares(as_rows(param))).view(param.shape[:2])


def _of_replicas(value: Tensor | float, like: Tensor) -> Array:
    """A number for each replica, or one for all."""
    if not isinstance(value, Tensor):
        return np.full(1, value, dtype=np.float32)
    return value.to(like.dtype).expand(like.shape[:2]).flatten().numpy()
