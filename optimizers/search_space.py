"""What the tracks `budget=N` search: a range for each hyperparameter, which the rule declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Enough for any hyperparameter. Shorter numbers make identities that people can read.
DIGITS = 6
REGULARIZERS = ("weight_decay",)
"""Hyperparameters that raise the training loss for a lower held-out loss. A search by training loss leaves them out."""


@dataclass(frozen=True)
class LogRange:
    """A number whose logarithm is uniform, as a learning rate's.

    Example:
        >>> LogRange(1e-4, 1).at(0.5)
        0.01
    """

    low: float
    high: float

    def at(self, share: float) -> float:
        """Give the value below which a share of the range lies.

        Args:
            share: from 0 to 1.
        """
        return _rounded(self.low * (self.high / self.low) ** share)

    def __str__(self) -> str:
        return f"log-uniform from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Decay:
    """A decay β for which the logarithm of 1 − β is uniform.

    Example:
        >>> Decay(0.9, 0.999).at(0.5)
        0.99
    """

    low: float
    high: float

    def at(self, share: float) -> float:
        """Give the value below which a share of the range lies.

        Args:
            share: from 0 to 1.
        """
        return _rounded(1 - (1 - self.low) * ((1 - self.high) / (1 - self.low)) ** share)

    def __str__(self) -> str:
        return f"from {self.low:g} to {self.high:g}, 1 - value log-uniform"


@dataclass(frozen=True)
class Choice:
    """One of several values, each as likely as the others.

    Example:
        >>> Choice(("constant", "cosine")).at(0.6)
        'cosine'
    """

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """Give the value of a share of the list.

        Args:
            share: from 0 to 1.
        """
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


Dimension = LogRange | Decay | Choice
RATE = LogRange(1e-4, 10.0)
"""Of rules that multiply the gradient: as wide as the first grid of the track `tuned`."""
ADAPTIVE_RATE = LogRange(1e-5, 1.0)
"""Of rules whose updates have about the size of the rate."""
SCHEDULES: Mapping[str, Dimension] = {
    "schedule": Choice(("constant", "linear", "cosine", "wsd")),
    "warmup": Choice((0.0, 0.02, 0.05, 0.1)),
}
"""The schedule of the learning rate, which every rule takes (`l2obench.optimizers.scheduled`)."""


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
