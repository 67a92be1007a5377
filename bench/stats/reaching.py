"""How soon a loss is reached, in steps and in seconds, and how many times sooner than a reference does.

What is never reached is infinite, and stays so in every ratio and median.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def smooth(losses: ArrayLike, window: int) -> NDArray[np.float64]:
    """Average each loss of a trajectory with those before it, over the last `window` ones.

    Args:
        losses: trajectories `[seeds, steps + 1]`.
        window: losses in each mean, 1 or more.

    Returns:
        `[seeds, steps + 2 - window]`; the first is the mean of the losses at steps 0 to window - 1.

    Raises:
        ValueError: a trajectory has fewer losses than `window`.

    Example:
        >>> smooth([[4.0, 2.0, 0.0]], window=2).tolist()
        [[3.0, 1.0]]
    """
    trajectories = np.asarray(losses, dtype=np.float64)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(trajectories, window, axis=-1).mean(-1))


def steps_to_target(losses: ArrayLike, target: ArrayLike, window: int = 1) -> NDArray[np.float64]:
    """The first step whose loss, averaged over the last `window` steps, is at most `target`; infinite if none is.

    Source: the cost measure of data profiles (Moré & Wild 2009), with a fixed target in the place of one
    that depends on the solvers present.

    Args:
        losses: trajectories `[seeds, steps + 1]`.
        target: the loss to reach, one for all or one for each seed `[seeds]`.
        window: losses averaged, for minibatch noise.

    Returns:
        Steps `[seeds]`, counted from 0.

    Raises:
        ValueError: a trajectory has fewer losses than `window`.

    Example:
        >>> steps_to_target([[4.0, 2.0, 1.0], [4.0, 3.0, 3.0]], target=2.0).tolist()
        [1.0, inf]
    """
    reached = smooth(losses, window) <= np.asarray(target, dtype=np.float64)[..., np.newaxis]
    first = reached.argmax(-1) + window - 1
    return np.where(reached.any(-1), first, np.inf)


def steps_to_seconds(steps: ArrayLike, step_seconds: float) -> NDArray[np.float64]:
    """Turn steps into seconds, at the step time that the serial timing pass measured.

    Args:
        steps: `[seeds]`; infinite where a target is not reached.
        step_seconds: seconds a step; NaN where it was not measured.

    Returns:
        Seconds `[seeds]`; infinite where the steps are, NaN where the step time is.
    """
    return np.asarray(steps, dtype=np.float64) * step_seconds


def relative_cost(costs: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Costs over those of a fixed reference on the same problems: below 1 is cheaper.

    The reference is fixed. Measured against the best solver present, two solvers can change places when a third joins
    (Gould & Scott 2016).

    Args:
        costs: steps, seconds or evaluations of the solver, `[problems]`; infinite where it fails.
        reference: those of the reference, `[problems]`.

    Returns:
        `[problems]`; infinite where the cost is, whatever the reference's. It is 0 where only the reference's is, and 1
        where both are 0.

    Example:
        >>> relative_cost([50.0, 10.0, float("inf")], [100.0, float("inf"), float("inf")]).tolist()
        [0.5, 0.0, inf]

    Source: the performance ratio of Dolan & Moré 2002, section 2, with a fixed reference instead of the best solver.
    """
    own, other = np.asarray(costs, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = own / other
    return np.where(np.isposinf(own), np.inf, np.where((own == 0) & (other == 0), 1.0, ratio))


def speed_up(losses: ArrayLike, reference: ArrayLike, window: int = 1) -> NDArray[np.float64]:
    """How many steps the reference needs for a rule's final loss, over those that the rule took: above 1 is faster.

    Source: VeLO's evaluation, with learning-rate-tuned Adam as reference (Metz et al. 2022, figure 1). It is infinite
    where the reference does not get there within its horizon, and 0 for a rule that failed.

    Args:
        losses: the rule's trajectories `[seeds, steps + 1]`; not finite from where it failed.
        reference: the reference's on the same seeds, `[seeds, steps of the reference + 1]`.
        window: losses averaged into the final one, for both.

    Returns:
        The factor for each seed, `[seeds]`.

    Raises:
        ValueError: a trajectory has fewer losses than `window`.
    """
    own = np.asarray(losses, dtype=np.float64)
    final = smooth(own, window)[..., -1]
    needed = steps_to_target(reference, final, window)
    return np.where(np.isfinite(final), needed / (own.shape[-1] - 1), 0.0)
