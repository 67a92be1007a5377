"""What there is to run: the names that `run`, `train` and `load` take."""

from l2obench.bench.config.registry import Registry, optimizer_registry, task_registry


def list_tasks() -> dict[str, str]:
    """The task families, ours and those of installed plugins.

    Returns:
        A line about each family, by its name.

    Example:
        >>> list_tasks()["quadratic"]
        'random quadratics ‖Wθ − y‖²'
    """
    return _summaries(task_registry())


def list_optimizers() -> dict[str, str]:
    """The optimizers, hand-designed and learned, ours and those of installed plugins.

    Returns:
        A line about each optimizer, by its name.

    Example:
        >>> list_optimizers()["adam"]
        'Adam'
    """
    return _summaries(optimizer_registry())


def _summaries(registry: Registry) -> dict[str, str]:
    return {name: entry.summary for name, entry in registry.entries.items()}
