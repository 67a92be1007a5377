"""The proof that comparisons are paired: for each seed, all optimizers of a task got the same function and minibatches.

Each row has the hash of what its optimizer got. Rows of one task and seed are compared as cells are finished, with
those of earlier starts too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

# First losses are rounded differently where other numbers of replicas run together, or on another processor.
TOLERANCE = 1e-3


class Pairing:
    """The functions and minibatches that each task and seed gave its optimizers, as far as cells are finished.

    Example:
        >>> pairing = Pairing()
        >>> row = {"task": "quadratic", "seed": 0, "optimizer": "sgd", "function_sha256": "ab", "loss": [1.0]}
        >>> pairing.find_difference([row])
        >>> pairing.find_difference([row | {"optimizer": "adam", "function_sha256": "cd"}])
        'quadratic: of seed 0, adam got another function or other minibatches than sgd'
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, int], tuple[str, str, float]] = {}

    def find_difference(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Compare the rows of a cell with those before, and remember them.

        Args:
            rows: of `cells`. Rows without a hash, such as those of earlier versions, are passed over.

        Returns:
            What differs, in one line; None where nothing does.
        """
        for row in rows:
            # pandas has NaN where a file has nothing.
            if not isinstance(digest := row.get("function_sha256"), str):
                continue
            key, first = (row["task"], int(row["seed"])), float(row["loss"][0])
            optimizer, known, loss = self._first.setdefault(key, (row["optimizer"], digest, first))
            about = f"{row['task']}: of seed {row['seed']}, {row['optimizer']}"
            if digest != known:
                return f"{about} got another function or other minibatches than {optimizer}"
            if math.isfinite(first) and math.isfinite(loss) and abs(first - loss) > TOLERANCE * (1 + abs(loss)):
                return f"{about} began with the loss {first:g}, {optimizer} with {loss:g}"
        return None
