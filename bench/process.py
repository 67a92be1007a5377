"""How a process that computes is set up: one thread, freed memory kept for the next step, and no rounding to TF32."""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from l2obench.foundation.errors import describe_message

# The numbers of two parameters of glibc's allocator, as malloc.h defines them; Python does not name them.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Bytes at the top of the heap that stay with the process.
KEPT_BYTES = 2**30
# Bytes from which an allocation gets pages of its own, which go back when it is freed. glibc allows no more.
OWN_PAGES_BYTES = 2**25


def set_up_process() -> None:
    """Set this process up for reproducible and fast computing. Call it once, before the first computation.

    - One thread: results then do not depend on the number of cores, and processes beside each other do not compete.
    - Freed memory is kept, with glibc. A step of the rollout frees tens of MB and allocates them again. glibc returns
      the top of the heap whenever 128 KiB of it are free, and each page would be faulted in anew.
    - On a GPU convolutions keep all 23 bits of a float32's fraction; cuDNN would round them to 10 (TF32).
    """
    import torch

    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # Other C libraries, such as musl, have no mallopt.
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            libc.mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES)


class _MainModule:
    """How many runs of this process keep the main module out of the processes that they start."""

    lock = threading.Lock()
    runs = 0
    prepare: Any = staticmethod(spawn.get_preparation_data)


def _prepare_without_main(name: str) -> dict[str, Any]:
    prepared: dict[str, Any] = _MainModule.prepare(name)
    return {key: value for key, value in prepared.items() if not key.startswith("init_main_from_")}


@contextlib.contextmanager
def main_module_kept_out() -> Iterator[None]:
    """Processes that start meanwhile do not run the user's script again.

    A process of `spawn` first imports the main module of the one that starts it. A script without
    `if __name__ == "__main__"` would there start its run again. Our processes need nothing of that module: they import
    classes by their names. The function that is replaced is the one place where `multiprocessing` names the module.
    """
    with _MainModule.lock:
        _MainModule.runs += 1
        spawn.get_preparation_data = _prepare_without_main
    try:
        yield
    finally:
        with _MainModule.lock:
            _MainModule.runs -= 1
            if _MainModule.runs == 0:
                spawn.get_preparation_data = _MainModule.prepare


@contextlib.contextmanager
def process_set_up(device: str = "cpu", data_dir: "str | Path | None" = None) -> Iterator[None]:
    """This process as `set_up_process` has it, and as it was afterwards, but for how freed memory is kept.

    Args:
        device: the torch device, which must work.
        data_dir: the folder of downloaded data, for this process and those that it starts; None: as it is.

    Raises:
        DeviceError: the device does not exist, or cannot compute.
    """
    import torch

    from l2obench.tasks.data.folder import DATA_DIR_VARIABLE

    require_device(device)
    threads, rounds = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    folder = os.environ.get(DATA_DIR_VARIABLE)
    set_up_process()
    if data_dir is not None:
        os.environ[DATA_DIR_VARIABLE] = str(data_dir)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = rounds
        if data_dir is not None:
            os.environ.pop(DATA_DIR_VARIABLE)
            if folder is not None:
                os.environ[DATA_DIR_VARIABLE] = folder


class DeviceError(ValueError):
    """A torch device that does not exist here, or cannot compute."""

    exit_code = 2


def require_device(device: str) -> None:
    """Make sure that a torch device works.

    Args:
        device: its name in torch.

    Raises:
        DeviceError: it does not exist, or cannot compute.
    """
    import torch

    try:
        torch.zeros((), device=device).item()  # the device `meta` has no values to read
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"device must be a device that works here, got {device}: {describe_message(error)}. Try: cpu"
        ) from error
