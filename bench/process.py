"""How a process that computes is set up: one thread, freed memory kept for the next step, and no rounding to TF32."""

import ctypes
import sys

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
