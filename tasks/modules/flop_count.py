"""Multiplications and additions of what runs inside, by operator, by PyTorch's own formulas."""

from collections import Counter
from typing import Any

from torch.utils.flop_counter import flop_registry

from l2obench.foundation.eager_mode import EagerMode


class FlopCount(EagerMode):  # type: ignore[no-untyped-call]
    """Counts matrix products, convolutions and attention, as `torch.utils.flop_counter.FlopCounterMode` does.

    That one imports PyTorch's compiler, for which every process that runs a model would wait.

    Example:
        >>> import torch
        >>> x = torch.ones(2, 3)
        >>> with FlopCount() as counted:
        ...     _ = x @ x.T
        >>> counted.total
        24
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_operator: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Of all operators."""
        return self.by_operator.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.by_operator[str(func.overloadpacket)] += formula(*args, **given, out_val=result)
        return result
