"""A text that is the same in every Python: the names of the characters of Unicode 3.2, one a line.

`unicodedata.ucd_3_2_0` is kept for good, since internationalised domain names are defined by it (RFC 3454), and a
character's name never changes (Unicode's stability policy). Names made by rule, of ideographs and Hangul syllables,
are left out.
"""

import hashlib
import sys
import unicodedata
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

ALPHABET = "\n -0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BY_RULE = ("CJK ", "HANGUL SYLLABLE ")
# Pieces, not single lines: names of neighbouring characters differ in a word, and would give the test set away.
PIECE = 1000
TEST_EVERY = 10


@lru_cache(maxsize=1)
def unicode_names() -> str:
    """The whole text, in the order of the characters.

    Example:
        >>> unicode_names().splitlines()[:2]
        ['SPACE', 'EXCLAMATION MARK']
    """
    names = (unicodedata.ucd_3_2_0.name(chr(code), "") for code in range(sys.maxunicode + 1))
    return "".join(f"{name}\n" for name in names if name and not name.startswith(BY_RULE))


@lru_cache(maxsize=4)
def codes(split: Literal["train", "test"], device: torch.device) -> Tensor:
    """The text of a split as places in ALPHABET: every tenth piece of 1,000 characters is for tests.

    Args:
        split: which pieces.
        device: where the result is.

    Returns:
        `[characters]` int64, kept for the next call: do not change it.
    """
    text = torch.tensor([ALPHABET.index(letter) for letter in unicode_names()], device=device)
    pieces = text[: len(text) // PIECE * PIECE].view(-1, PIECE)
    is_test = torch.arange(len(pieces), device=device) % TEST_EVERY == TEST_EVERY - 1
    return pieces[is_test if split == "test" else ~is_test].flatten()


def draw_windows(generator: torch.Generator, steps: int, batch: int, context: int) -> dict[str, Tensor]:
    """Draw where the windows of minibatches begin in the training pieces.

    Args:
        generator: the source of randomness.
        steps: how many minibatches.
        batch: windows in each.
        context: characters of a window besides the one that its last place predicts.

    Returns:
        `start [steps, batch]`.
    """
    count = len(codes("train", torch.device("cpu"))) - context
    return {"start": torch.randint(count, (steps, batch), generator=generator)}


def windows_at(start: Tensor, context: int) -> dict[str, Tensor]:
    """Windows of the training pieces.

    Args:
        start: where they begin, of any shape.
        context: as `draw_windows` takes it.

    Returns:
        `text [..., context + 1]`.
    """
    window = torch.arange(context + 1, device=start.device)
    return {"text": codes("train", start.device)[start.unsqueeze(-1) + window]}


def unicode_names_sources() -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of the text, for a run's manifest."""
    about = "names of the characters of Unicode 3.2, from Python's unicodedata"
    return {"unicode-names": {"description": about, "sha256": hashlib.sha256(unicode_names().encode()).hexdigest()}}
