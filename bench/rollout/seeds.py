"""Seeds: 32 bits for a purpose, a function family and an index, so that the pools of different purposes are disjoint.

torch's CPU generator, a Mersenne twister, keeps the low 32 bits of a seed and nothing else. What is disjoint must
therefore be disjoint in these bits. Two constructions are at work (docs/protocol.md, "Seeds"):

- Timing, tuning and evaluation seeds are hashes, listed family by family. An index is hashed again where the list holds
  the low bits of its hash.
- Meta-training and meta-validation have two high bits of their own, and a permutation of the 30 others. An index whose
  seed the list of its family holds takes a spare one.
"""

import hashlib
import itertools
import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

# Steps whose minibatches are drawn from a seed's generator together; drawing step by step would take much longer.
# It decides which minibatches a seed has: a change of it changes the numbers of every task that draws.
DRAW_STEPS = 100
Purpose = Literal["meta-training", "meta-validation", "meta-randomness", "tuning", "timing", "evaluation"]

SEEDS_VERSION = 2
"""Raised whenever a training would draw other functions: it cannot be gone on with. 1 were hashes without regions."""
BITS = 32
"""Of a seed, the low bits that reach torch's generator."""
LISTED = {"timing": 16, "tuning": 4096, "evaluation": 32768}
"""How many indices the listed purposes have."""
STREAM = 10**9
"""Indices of one training. Index `k · STREAM + i` is function i of the training with seed k."""

_REGIONS = {"meta-training": 0, "meta-validation": 1, "meta-randomness": 2}
_REGION_BITS = 30
_HALF_BITS = _REGION_BITS // 2
_ROUNDS = 4  # Luby & Rackoff 1988: four rounds make a permutation that looks random from both sides


class SeedRangeError(ValueError):
    """An index beyond those that are known to be disjoint."""

    exit_code = 2


def derive_seed(purpose: Purpose, family: str, index: int) -> int:
    """The seed of one function: the same on every machine and in every version.

    Within a family no two purposes share a seed, and within a purpose (of meta-training and meta-validation: within the
    indices of one training) no two indices do, in the low 32 bits. Seeds for `meta-randomness` are hashes in a region
    of their own: they order a training's functions, coordinates and offsets and draw no function.

    Args:
        purpose: what the function is for.
        family: `identify_functions` of its task.
        index: 0 or more; for timing, tuning and evaluation less than `LISTED`.

    Returns:
        A seed of at most 63 bits; its low 32 bits are what torch's generator keeps.

    Raises:
        SeedRangeError: the index is out of range.

    Example:
        >>> derive_seed("evaluation", "quadratic", 0) == derive_seed("tuning", "quadratic", 0)
        False
    """
    if index < 0 or index >= LISTED.get(purpose, math.inf):
        most = f" to {LISTED[purpose] - 1:,}" if purpose in LISTED else ""
        raise SeedRangeError(f"the index of a {purpose} seed must be from 0{most}, got {index:,}. Try: fewer seeds.")
    if purpose in LISTED:
        return _list(family).seed(purpose, index)
    if purpose == "meta-randomness":
        bits = _hash(f"{purpose}/{family}/{index}") % 2**_REGION_BITS
        return int(_REGIONS[purpose] << _REGION_BITS | bits)
    stream, place = divmod(index, STREAM)
    return _in_region(purpose, family, stream, place)


def generator(seed: int) -> torch.Generator:
    """Make a CPU generator that starts at `seed`: the same numbers whatever device the work is done on.

    Args:
        seed: as `derive_seed` gives it.
    """
    return torch.Generator().manual_seed(seed)


def _in_region(purpose: Purpose, family: str, stream: int, place: int) -> int:
    """The seed of a place in a training's stream: its image under a permutation, unless the list holds that.

    The n-th listed seed stands aside for a spare place, n beyond the last, or that plus a multiple of the number of
    listed seeds. Places are distinct, so their images are.
    """
    key = hashlib.sha256(f"l2obench/{purpose}/{family}/{stream}".encode()).digest()
    first: int = _REGIONS[purpose] << _REGION_BITS
    taken = _taken(family)
    seed = first | permute(place, key)
    spare = STREAM + int(np.searchsorted(taken, seed))
    while (at := np.searchsorted(taken, seed)) < len(taken) and taken[at] == seed:
        if spare >= 2**_REGION_BITS:
            raise SeedRangeError(f"no spare {purpose} seed is left for {family}")
        seed = first | permute(spare, key)
        spare += len(taken)
    return seed


def permute(value: int, key: bytes) -> int:
    """Permute 30-bit numbers: the image of one under the permutation that belongs to a key.

    Args:
        value: from 0 to 2³⁰ - 1.
        key: at most 64 bytes.

    Source: Luby & Rackoff 1988: a Feistel network of four rounds.
    """
    left, right = value >> _HALF_BITS, value & (2**_HALF_BITS - 1)
    for turn in range(_ROUNDS):
        digest = hashlib.blake2b(bytes([turn]) + right.to_bytes(2, "big"), key=key, digest_size=2).digest()
        left, right = right, left ^ (int.from_bytes(digest, "big") & (2**_HALF_BITS - 1))
    return int(left << _HALF_BITS | right)


class _List:
    """The listed seeds of a family, made as far as they are asked for: no two have the same low bits."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._low_bits: set[int] = set()
        self._seeds: dict[str, list[int]] = {purpose: [] for purpose in LISTED}

    def seed(self, purpose: str, index: int) -> int:
        """The seed of an index; those before it, of earlier purposes too, come first in the list."""
        for earlier, count in LISTED.items():
            seeds = self._seeds[earlier]
            for place in range(len(seeds), index + 1 if earlier == purpose else count):
                seeds.append(self._unused(f"{earlier}/{self._family}/{place}"))
            if earlier == purpose:
                break
        return self._seeds[purpose][index]

    def low_bits(self) -> NDArray[np.int64]:
        """The low bits of all listed seeds, in order."""
        self.seed("evaluation", LISTED["evaluation"] - 1)
        return np.sort(np.fromiter(self._low_bits, dtype=np.int64))

    def _unused(self, text: str) -> int:
        attempts = itertools.chain([text], (f"{text}/{again}" for again in itertools.count(1)))
        seed = next(seed for seed in map(_hash, attempts) if seed % 2**BITS not in self._low_bits)
        self._low_bits.add(seed % 2**BITS)
        return seed


@lru_cache(maxsize=64)
def _list(family: str) -> _List:
    return _List(family)


@lru_cache(maxsize=64)
def _taken(family: str) -> NDArray[np.int64]:
    return _list(family).low_bits()


def _hash(text: str) -> int:
    """63 bits of SHA-256."""
    return int.from_bytes(hashlib.sha256(f"l2obench/{text}".encode()).digest()[:8], "big") >> 1
