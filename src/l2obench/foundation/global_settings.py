"""Settings of a process that decide numbers: put back after foreign code ran, and generators set from a name."""

import contextlib
import hashlib
import os
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from l2obench.foundation.process_settings import PROCESS_SETTINGS, Setting

# torch's CPU generator keeps 32 bits of a seed, and NumPy's takes no more.
SEED_BYTES = 4


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Put back, when the block ends, what code in it changed of the process.

    - torch: default dtype and device, threads, grad mode, deterministic algorithms, precision of matrix products,
      cuDNN's switches, anomaly detection, denormal numbers
    - NumPy's handling of errors, filters of warnings, environment variables
    - the global generators of Python, NumPy and torch (on the CPU)
    - working directory, umask, locale, import path, signal handlers, blocked signals, streams, garbage collection

    Functions that foreign code replaced stay replaced.

    Example:
        >>> with settings_kept():
        ...     torch.set_default_dtype(torch.float64)
        >>> torch.get_default_dtype()
        torch.float32
    """
    before = [read() for read, _ in _SETTINGS]
    try:
        yield
    finally:
        for (read, write), value in zip(_SETTINGS, before, strict=True):
            if not _same(read(), value):
                write(value)


@contextlib.contextmanager
def seeded(name: str) -> Iterator[None]:
    """Set the global generators of Python, NumPy and torch from a name; put them and all settings back at the end.

    Args:
        name: of what runs in the block: the same name gives the same random numbers.

    Example:
        >>> numbers = []
        >>> for _ in range(2):
        ...     with seeded("adam on quadratic"):
        ...         numbers.append(random.random())
        >>> numbers[0] == numbers[1]
        True
    """
    with settings_kept():
        seed = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:SEED_BYTES], "big")
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - what foreign code draws from
        # `torch.manual_seed` would import torch's compiler, which takes seconds.
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(seed)
        yield


def generator_states() -> tuple[Any, ...]:
    """Read the states of the global generators, to be compared with `same_states`."""
    return random.getstate(), _numpy_state(), torch.default_generator.get_state()


def same_states(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Say whether no number was drawn from the global generators between two readings.

    Args:
        one: the first reading of `generator_states`.
        other: the second.
    """
    return all(_same(a, b) for a, b in zip(one, other, strict=True))


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def _numpy_state() -> tuple[Any, ...]:
    state: Any = np.random.get_state()  # noqa: NPY002
    kind, key, *rest = state
    return kind, key.tobytes(), *rest  # arrays have no single answer to ==


def _set_numpy_state(state: tuple[Any, ...]) -> None:
    kind, key, *rest = state
    np.random.set_state((kind, np.frombuffer(key, dtype=np.uint32), *rest))  # noqa: NPY002


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _cudnn() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def _set_cudnn(values: tuple[bool, ...]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = values


def _set_device(device: torch.device) -> None:
    # A default device of "cpu" would be asked at every call; None is what a fresh process has.
    torch.set_default_device(None if device.type == "cpu" else device)


def _flushes_denormals() -> bool:
    # torch sets the processor's flag and has no function that reads it.
    return float(torch.tensor(1e-40, dtype=torch.float32, device="cpu") * 1.0) == 0.0


def _set_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()  # makes Python forget which warnings it has shown under the other filters
    warnings.filters[:] = filters  # type: ignore[index]


def _set_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


_SETTINGS: list[Setting] = [
    *PROCESS_SETTINGS,
    (torch.get_default_device, _set_device),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (_deterministic, lambda kept: torch.use_deterministic_algorithms(kept[0], warn_only=kept[1])),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (_cudnn, _set_cudnn),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (_flushes_denormals, torch.set_flush_denormal),
    (np.geterr, lambda kept: np.seterr(**kept)),
    (lambda: list(warnings.filters), _set_filters),
    (lambda: dict(os.environ), _set_environment),
    (random.getstate, random.setstate),
    (_numpy_state, _set_numpy_state),
    (torch.default_generator.get_state, torch.default_generator.set_state),
]
"""How each setting is read, and set again."""
