"""Columns of results as arrays, each converted once, however many cells and tables ask for it."""

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Columns:
    """Rows of the kind `cells`, column by column.

    Args:
        frame: the rows; it is not changed, and must not be changed while this object is used.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self._values: dict[str, NDArray[Any]] = {}
        self._numbers: dict[str, Floats] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.frame

    def __len__(self) -> int:
        return len(self.frame)

    def values(self, name: str) -> NDArray[Any]:
        """A column as it is `[rows]`; None where an object is missing.

        Args:
            name: of the column.
        """
        if name not in self._values:
            column = self.frame[name]
            if isinstance(column.dtype, np.dtype) and column.dtype != object:
                self._values[name] = column.to_numpy()
            else:
                objects = np.array(column.astype(object), dtype=object)
                objects[column.isna().to_numpy()] = None
                self._values[name] = objects
        return self._values[name]

    def numbers(self, name: str) -> Floats:
        """A column as numbers `[rows]`; NaN where one is missing.

        Args:
            name: of the column.
        """
        if name not in self._numbers:
            self._numbers[name] = self.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        return self._numbers[name]

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Rows whose status is ok `[rows]`."""
        return np.asarray((self.frame["status"] == "ok").to_numpy(dtype=bool))

    @cached_property
    def learned(self) -> NDArray[np.bool_]:
        """Rows of learned optimizers `[rows]`."""
        return np.asarray(self.frame["learned"].eq(True).to_numpy(dtype=bool, na_value=False))

    @cached_property
    def losses(self) -> Floats:
        """Final losses `[rows]`; infinite for a seed that failed."""
        losses = self.numbers("final_loss")
        return np.where(self.ok & ~np.isnan(losses), losses, np.inf)

    def number_groups(self, *names: str) -> NDArray[np.intp]:
        """The number of each row's group `[rows]`.

        Args:
            names: columns to group by; `run` comes first by itself.
        """
        columns = [*(["run"] if "run" in self else []), *names]
        return np.asarray(self.frame.groupby(columns, sort=False, dropna=False).ngroup().to_numpy(), dtype=np.intp)
