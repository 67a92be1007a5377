"""How a process that computes is set up: one thread, freed memory kept for the next step, and no rounding to TF32."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)


def set_up_process() -> None:
    """One thread, since two on a busy machine collapse, and no return of memory between steps.

    glibc gives the top of the heap back whenever 128 KiB or more of it are free; a step of the rollout frees tens of
    MB and allocates them again, and each page of that would be faulted in anew. On a GPU, convolutions would keep
    10 bits of a float32's 23 unless told otherwise.
    """
    import torch

    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_TRIM_THRESHOLD, 2**30)
            libc.mallopt(M_MMAP_THRESHOLD, 2**25)
