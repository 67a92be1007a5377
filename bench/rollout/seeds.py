"""Seeds: SHA-256 of purpose, function family and index, so that the pools for different purposes are disjoint."""

import hashlib
from typing import Literal

import torch

DRAW_STEPS = 100  # minibatches of so many steps are drawn from a seed's generator together
Purpose = Literal["meta-training", "meta-validation", "tuning", "timing", "evaluation"]


def derive_seed(purpose: Purpose, family: str, index: int) -> int:
    """A 63-bit seed. The same purpose, family and index give the same seed on every machine and in every version."""
    digest = hashlib.sha256(f"l2obench/{purpose}/{family}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int) -> torch.Generator:
    """A CPU generator that starts at `seed`: the same numbers whatever device the work is done on."""
    return torch.Generator().manual_seed(seed)
