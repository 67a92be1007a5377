"""The learned schedule of Celo and Celo-Adam: one LSTM that makes a factor of the step from time and loss."""

import torch
from torch import Tensor

from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.learned.cell import cell_step
from l2obench.optimizers.learned.initial_weights import lecun_normal
from l2obench.optimizers.learned.progress_features import PROGRESS_FEATURES, initial_averages, progress_features

# The factor of an output of 0, as in the released code.
FACTOR_SCALE = 0.1


def schedule_shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the schedule's meta-parameters.

    Args:
        hidden: units of the LSTM.
    """
    linear = {
        "input": (hidden, PROGRESS_FEATURES),
        "shared": (hidden, PROGRESS_FEATURES),
        "lstm": (4 * hidden, 2 * hidden),
        "rate": (1, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {"initial.hidden": (hidden,), "initial.cell": (hidden,)}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def random_weights(shapes: dict[str, tuple[int, ...]], hidden: int, generator: torch.Generator) -> Tensors:
    """LeCun normal weights, zeros for all else but the biases of the forget gates, which are 1.

    Args:
        shapes: from `schedule_shapes`, with those of other layers if the rule has any.
        hidden: units of the LSTM.
        generator: the source of all randomness.
    """
    tensors = lecun_normal(shapes, generator)
    # An LSTM whose forget gates start open keeps what it has until it learns to drop it.
    tensors["lstm.bias"][hidden : 2 * hidden] = 1
    return tensors


def initial_schedule(phi: Tensors, like: Tensor) -> State:
    """The schedule's state before the first step: `step`, `hidden`, `cell`, and the averages of the loss.

    Args:
        phi: meta-parameters by the names of `schedule_shapes`; the LSTM begins at learned values.
        like: a parameter, `[seeds, settings, ...]`.
    """
    state: State = {"step": 0, **initial_averages(like)}
    for part in ("hidden", "cell"):
        start = phi[f"initial.{part}"].to(like).view(-1, 1, 1)
        state[part] = start.expand(-1, *like.shape[:2]).contiguous()
    return state


def scheduled_factor(phi: Tensors, state: State, loss: Tensor, horizon: Tensor) -> tuple[Tensor, State]:
    """The factor ρ of this step, and the next state.

    x are the features of `progress_features`; z = A x + a + ReLU(B x + b); h, c = LSTM(z; h, c); ρ = 0.1 exp(w·h + b).
    In VeLO, x differs between tensors and the ReLU's part is the maximum over them; here all tensors have the same x.

    Args:
        phi: meta-parameters by the names of `schedule_shapes`.
        state: from `initial_schedule` or the last call.
        loss: at the parameters of this update, `[seeds, settings]`.
        horizon: the number of updates of the run, `[seeds, settings]`.

    Returns:
        ρ `[seeds, settings]`, and the state.

    Source: Moudgil et al. 2025, "Celo: Training versatile learned optimizers on a compute diet" (arXiv 2501.12670).
    """
    features, averages, lowest = progress_features(loss, state["step"], horizon, state["averages"], state["lowest"])
    x, replicas = features.flatten(1), loss.shape

    def linear(name: str, values: Tensor) -> Tensor:
        return torch.addmm(phi[f"{name}.bias"].unsqueeze(1), phi[f"{name}.weight"], values)

    mixed = linear("input", x) + linear("shared", x).relu()
    memory = state["hidden"].flatten(1), state["cell"].flatten(1)
    hidden, cell = cell_step(phi["lstm.weight"], phi["lstm.bias"], mixed, *memory)
    factor = FACTOR_SCALE * linear("rate", hidden).view(replicas).exp()
    following = {"hidden": hidden.view(-1, *replicas), "cell": cell.view(-1, *replicas)}
    return factor, {"step": state["step"] + 1, "averages": averages, "lowest": lowest, **following}
