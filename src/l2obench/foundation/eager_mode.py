"""Modes that see every operator of PyTorch, without its compiler: importing that takes two seconds in each process."""

import contextlib
import sys
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class EagerMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode under which compiled functions run uncompiled, so that each of their operators is seen.

    Subclasses define `__torch_dispatch__`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._uncompiled = contextlib.ExitStack()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip it, PyTorch would import torch._dynamo."""
        return False

    def __enter__(self) -> Self:
        # Where a process has compiled something already, torch.compile would go on to compile what runs here.
        if "torch._dynamo" in sys.modules:
            self._uncompiled.enter_context(torch.compiler.set_stance("force_eager"))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._uncompiled.close()
