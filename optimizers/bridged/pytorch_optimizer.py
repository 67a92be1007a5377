"""What the rules of the package pytorch-optimizer share: that it may not be there."""

import importlib
import importlib.util
from typing import Any, Self

from pydantic import model_validator

from l2obench.optimizers.bridged.torch_optim import TorchOptimizer

PACKAGE = "pytorch_optimizer"


class LibraryOptimizer(TorchOptimizer):
    """A rule as pytorch-optimizer has it. Like all bridged ones it steps one replica after the other.

    State: that of `TorchOptimizer`.

    Raises:
        ValueError: pytorch-optimizer is not installed; the message says how to install it.
    """

    @model_validator(mode="after")
    def _is_installed(self) -> Self:
        if importlib.util.find_spec(PACKAGE) is None:
            raise ValueError(
                "it is a rule of pytorch-optimizer, which is not installed. Try: pip install 'pytorch-optimizer>=4.1'"
            )
        return self


def library() -> Any:
    """The package, imported when it is first used: that takes seconds."""
    return importlib.import_module(PACKAGE)
