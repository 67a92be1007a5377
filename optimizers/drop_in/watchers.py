"""Whether anybody watches the steps of an optimizer: only then they need what torch wraps around them."""

import torch
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks


def is_watched(optimizer: torch.optim.Optimizer) -> bool:
    """Whether there are hooks around steps, of this optimizer or of all, or a profiler that is on.

    Args:
        optimizer: any.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)])
        >>> is_watched(optimizer)
        False
        >>> handle = optimizer.register_step_post_hook(lambda *_: None)
        >>> is_watched(optimizer)
        True
    """
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
        or torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
    )
