"""Randomness that belongs to a seed: global generators set and put back, and numbers that every path draws alike."""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Seeds are drawn as int64, which ends here; `numpy.random.seed` takes 32 bits.
LARGEST_SEED = 2**63 - 1
LARGEST_NUMPY_SEED = 2**32

Fill = Callable[[Tensor, torch.Generator], Tensor]
"""Fills an empty tensor from a generator."""


class OwnRandomness:
    """The state of Python's, NumPy's and PyTorch's global generators that belongs to one seed.

    Inside `active`, code that draws from the global generators draws from these; outside, they are as they were.

    Args:
        seed: sets all three when `active` is first entered.

    Example:
        >>> own, before = OwnRandomness(0), random.getstate()
        >>> with own.active():
        ...     drawn = random.random()
        >>> random.getstate() == before
        True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: tuple[Any, ...] | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this seed's state until the block ends."""
        outside = _states()
        try:
            if self._state is None:
                seed_everything(self._seed)
            else:
                _restore(self._state)
            yield
            self._state = _states()
        finally:
            _restore(outside)


@contextlib.contextmanager
def preserved(beyond_torch: bool = True) -> Iterator[None]:
    """Put the global generators back where they were when the block ends.

    Args:
        beyond_torch: those of Python and NumPy too, not PyTorch's alone.
    """
    outside = _states() if beyond_torch else (None, None, torch.default_generator.get_state())
    try:
        yield
    finally:
        _restore(outside)


def seed_everything(seed: int, beyond_torch: bool = True) -> None:
    """Set the global generators of PyTorch, on every device that is in use, and those of Python and NumPy.

    Args:
        seed: from 0 to LARGEST_SEED.
        beyond_torch: Python's and NumPy's too. They take longer than a step of a small model; a model that does not
            draw from them is spared that.
    """
    if beyond_torch:
        random.seed(seed)
        np.random.seed(seed % LARGEST_NUMPY_SEED)  # noqa: NPY002 (what a user's model draws from)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def drawn_beyond_torch(seed: int) -> bool:
    """Whether Python's or NumPy's generator was drawn from since `seed_everything(seed)`.

    Args:
        seed: the one they were set to.
    """
    python = random.Random(seed).getstate() != random.getstate()
    numbers = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    fresh = np.random.RandomState(seed % LARGEST_NUMPY_SEED).get_state(legacy=False)["state"]
    return python or numbers["pos"] != fresh["pos"] or not np.array_equal(numbers["key"], fresh["key"])


def next_seed(generator: torch.Generator) -> int:
    """A seed drawn from a generator.

    Args:
        generator: moves on by one draw.
    """
    return int(torch.randint(LARGEST_SEED, (), generator=generator))


class NoiseBySeed(TorchFunctionMode):
    """Inside it, the masks of dropout and noise come from `seed` and from how many were drawn before.

    PyTorch would draw them from the global generator, which `torch.vmap` can't give to each replica: one after another
    and together, replicas would get different numbers.

    Args:
        seed: an int64 tensor with one element a replica; under `torch.vmap` each has its own.
    """

    def __init__(self, seed: Tensor) -> None:
        super().__init__()
        self._seed = seed
        self.drawn = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (dropout := DROPOUTS.get(func)) is not None:
            return dropout(self, *args, **kwargs)
        fill = NOISES.get(func)
        # With other arguments, as a generator of its own, it is the user's business.
        if fill is None or not kwargs.keys() <= {"dtype", "device"}:
            return func(*args, **kwargs)
        if isinstance(args[0], Tensor):
            shape, about = list(args[0].shape), {"dtype": args[0].dtype, "device": args[0].device, **kwargs}
        else:
            shape = list(args[0] if isinstance(args[0], list | tuple) else args)
            about = {"dtype": torch.get_default_dtype(), "device": "cpu", **kwargs}
        return self.draw(shape, fill, about["dtype"], torch.device(about["device"]))

    def draw(self, shape: list[int], fill: Fill, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Draw a tensor.

        Args:
            shape: its shape.
            fill: fills it from a generator.
            dtype: its type.
            device: where it is. It is drawn on the CPU, and the same on every device.
        """
        self.drawn += 1
        found: Tensor = _Drawn.apply(self._seed + self.drawn, shape, fill, dtype, device)
        return found


class _Drawn(torch.autograd.Function):
    """A random tensor from a seed; under `torch.vmap` one for each seed, and one for all where they share it."""

    @staticmethod
    def forward(seed: Tensor, shape: list[int], fill: Fill, dtype: torch.dtype, device: torch.device) -> Tensor:
        generator = torch.Generator().manual_seed(int(seed) % LARGEST_SEED)
        return fill(torch.empty(shape, dtype=dtype), generator).to(device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, seed: Tensor, *about: Any) -> Any:
        each = [_Drawn.apply(one, *about) for one in seed.unbind(in_dims[0])]
        return torch.stack(each), 0


def _dropout(mode: NoiseBySeed, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements."""
    if not training or p == 0.0:
        return input
    return _scaled(mode, input, list(input.shape), p, inplace)


def _channel_dropout(dimensions: int) -> Callable[..., Tensor]:
    """Whole channels; the one before the last `dimensions`."""

    def dropout(
        mode: NoiseBySeed, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0.0:
            return input
        channels = input.ndim - dimensions
        return _scaled(mode, input, [*input.shape[:channels], *[1] * dimensions], p, inplace)

    return dropout


def _scaled(mode: NoiseBySeed, input: Tensor, shape: list[int], p: float, inplace: bool) -> Tensor:
    factor = mode.draw(
        shape, lambda empty, generator: empty.bernoulli_(1 - p, generator=generator), input.dtype, input.device
    )
    factor = factor / (1 - p) if p < 1 else factor
    return input.mul_(factor) if inplace else input * factor


DROPOUTS: dict[Any, Callable[..., Tensor]] = {
    functional.dropout: _dropout,
    functional.dropout1d: _channel_dropout(1),
    functional.dropout2d: _channel_dropout(2),
    functional.dropout3d: _channel_dropout(3),
}
NOISES: dict[Any, Fill] = {
    torch.rand: lambda empty, generator: empty.uniform_(generator=generator),
    torch.rand_like: lambda empty, generator: empty.uniform_(generator=generator),
    torch.randn: lambda empty, generator: empty.normal_(generator=generator),
    torch.randn_like: lambda empty, generator: empty.normal_(generator=generator),
}
"""Other randomness of a model (a `torch.randint` in `forward`) stays with the global generator, replica by replica."""


def _states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002


def _restore(states: tuple[Any, ...]) -> None:
    if states[0] is not None:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    torch.default_generator.set_state(states[2])
