"""The state of a meta-training between two trajectories."""

import math
from dataclasses import dataclass, field
from typing import Any

from l2obench.foundation.tensors import Tensors


@dataclass(frozen=True)
class Progress:
    """The state of a meta-training between two trajectories; saved and restored as a whole."""

    phi: Tensors
    """The meta-parameters."""
    mean: Tensors
    """Adam's moving average of the meta-gradient."""
    square: Tensors
    """Adam's moving average of its square."""
    average: Tensors
    """What is validated and kept: a moving average of φ, or φ itself."""
    best: Tensors
    """The average with the lowest validation loss so far."""
    scales: Tensors = field(default_factory=dict)
    """The scales of the losses, from which learned weights follow; empty where weights are given."""
    best_validation: float = math.inf
    trajectory: int = 0
    meta_steps: int = 0
    setbacks: int = 0
    """Trajectories without a finite meta-gradient since the last with one."""
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    """One row for each trajectory."""
