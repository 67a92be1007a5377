"""How a run is carried out: the options of `l2obench run` that decide no number but where a cell says so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """The options that travel from the command line through the runner and its jobs to the rollout.

    Of these, only `device`, `compile` and `fused` are part of a cell's description. The others change no result.

    Example:
        >>> RunOptions(timeout=60.0).device
        'cpu'
    """

    device: str = "cpu"
    """The torch device that computes, such as `cpu` or `cuda:1`."""
    force: bool = False
    """Compute again what is already in the folder, and replace it."""
    seeds_at_once: int | None = None
    """Seeds in one rollout, to save memory. None: all seeds of a cell together, as far as memory allows."""
    timeout: float | None = None
    """Seconds that one step may take, all replicas together, before its cell is given up. Given one, every job runs in
    a process of its own. None: plugins may take `PLUGIN_TIMEOUT`, our own tasks and optimizers as long as they need."""
    memory: float | None = None
    """Bytes that the replicas of one process may take; seeds that do not fit run one after another.
    None: half of the memory that is free on the device."""
    timing: bool = True
    """Whether to measure step times, in a pass of their own before the first cell."""
    compile: bool = False
    """Run whole steps as one program of `torch.compile`. Plugins and torch optimizers run as they stand all the same,
    and so does the timing pass."""
    fused: bool = False
    """Take the steps of the learned optimizers that have a fused step by that, on the CPU. It is timed too. Without
    effect beside `compile`."""

    @property
    def uses_fused_steps(self) -> bool:
        """Whether optimizers that have a fused step are to use it."""
        return self.fused and not self.compile and self.device == "cpu"
