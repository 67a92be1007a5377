"""What a `ModuleTask` must give before anything else can be asked of it: a model, minibatches, a loss, metrics."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from l2obench.bench.failures import ContractBroken
from l2obench.bench.rollout.guard import same
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import generator
from l2obench.bench.rollout.step import make_buffers
from l2obench.foundation.errors import describe_error
from l2obench.tasks.base import Task, Tensors
from l2obench.tasks.module import ModuleTask
from l2obench.tasks.modules.batches import PREFIX, BadModule

SEED, STEPS = 11, 3


def a_model_is_given(task: Task) -> None:
    """`make_model` gives a module with parameters. They are what optimizers train."""
    task.sample(generator(SEED))


def the_model_belongs_to_its_seed(task: Task) -> None:
    """`make_model` gives the same start for the same seed. Optimizers are compared in pairs by seed."""
    for name, (one, other) in _twice(lambda: task.sample(generator(SEED)).params).items():
        if not same(one, other):
            raise ContractBroken(
                f"make_model must give the same start for the same seed, got another {name!r}. "
                "Try: torch's, NumPy's or Python's global generators, which l2obench seeds, and none of your own"
            )


def minibatches_are_given(task: Task) -> None:
    """`training_data` or `minibatches` give minibatches: every step of a run takes one."""
    problems = Problems(task, [SEED])
    for _ in range(STEPS):
        problems.minibatch()


def minibatches_belong_to_their_seed(task: Task) -> None:
    """The same seed has the same minibatches, so that optimizers differ by their updates only."""

    def drawn() -> Tensors:
        problems = Problems(task, [SEED])
        return {
            f"{name} of step {step}": value for step in range(STEPS) for name, value in problems.minibatch().items()
        }

    for name, (one, other) in _twice(drawn).items():
        if not same(one, other):
            raise ContractBroken(
                f"minibatches must be the same for the same seed, got another {name}. Try: the generator that "
                "minibatches() is given, or torch's, NumPy's or Python's global ones, and none of your own"
            )


def a_loss_is_given(task: Task) -> None:
    """`batch_loss` gives a finite scalar that depends on the parameters. Else no optimizer can lower it."""
    problems = Problems(task, [SEED])
    params = {name: value.unsqueeze(1) for name, value in problems.start.items()}
    try:
        losses, grads, _ = problems.loss_grad_and_buffers(params, make_buffers(problems))
    except BadModule:
        raise
    # The author's own code, or PyTorch about it: the message needs the place and the minibatch.
    except Exception as error:
        raise ContractBroken(_explain_failed_loss(task, problems, error)) from error
    if not losses.isfinite().all():
        raise ContractBroken(
            f"batch_loss must be finite at the start, got {losses.item():g}. Try: scale the inputs, or a smaller start"
        )
    if not any(bool(grad.any()) for grad in grads.values()):
        raise ContractBroken(
            "batch_loss must depend on the parameters, got gradients of zero only. "
            "Try: compute it with the model that batch_loss is given"
        )


def held_out_metrics_are_given(task: Task) -> str | None:
    """`heldout_metrics` gives numbers by name. They are optional: without them only training losses are compared."""
    problems = Problems(task, [SEED])
    problems.minibatch()
    params = {name: value.unsqueeze(1) for name, value in problems.start.items()}
    if not task.evaluate_with_buffers(params, make_buffers(problems)):
        return "heldout_data gives nothing"
    return None


def replicas_run_together(task: Task) -> str | None:
    """Many replicas can be evaluated at once. One by one is allowed, and slower: then the reason is given."""
    try:
        return task.runs_one_by_one()
    except Exception:
        return "needs what failed above"


REQUIREMENTS: dict[str, Callable[[Task], str | None]] = {
    requirement.__name__.replace("_", " "): requirement
    for requirement in (
        a_model_is_given,
        the_model_belongs_to_its_seed,
        minibatches_are_given,
        minibatches_belong_to_their_seed,
        a_loss_is_given,
        held_out_metrics_are_given,
        replicas_run_together,
    )
}
"""By name, in their order. Where one is not met, those of every task need not be asked for."""


def requirements_of(task: Task) -> dict[str, Callable[[Task], str | None]]:
    """What is asked of this task beyond what is asked of every task.

    Args:
        task: any; only a `ModuleTask` has such requirements.

    Returns:
        Requirements by their names, in the order in which they are asked for.
    """
    return REQUIREMENTS if isinstance(task, ModuleTask) else {}


HINTS = {
    "backward through the graph": "return the loss, and leave backward() to l2obench",
    "positional argument": "def batch_loss(self, model, batch)",
    "dtype": ".float() for inputs, .long() for classes",
    "shapes cannot be multiplied": "as many inputs of the first layer as columns of the data",
    "NVIDIA": "leave .cuda() out; l2obench moves model and data with --device",
}
"""Words of an error of PyTorch or Python → what its cause most often asks for."""


def _explain_failed_loss(task: Task, problems: Problems, error: Exception) -> str:
    """Where `batch_loss` raised, what its minibatch held, and what to try."""
    said = describe_error(error)
    files = {
        getattr(sys.modules.get(cls.__module__), "__file__", None)
        for cls in type(task).__mro__
        if not issubclass(ModuleTask, cls)
    }
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    holds = ", ".join(
        f"{name} {str(value.dtype).removeprefix('torch.')} {list(value.shape[1:])}"
        for name, value in problems.minibatch().items()
        if name.startswith(PREFIX)
    )
    hint = next((f" Try: {hint}." for words, hint in HINTS.items() if words in said), "")
    return f"batch_loss must return a loss, got {said.rstrip('.')}{place}. The minibatch holds {holds}.{hint}"


def _twice(draw: Callable[[], Tensors]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What is drawn under two global states."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(draw())
    return {name: (value, found[1][name]) for name, value in found[0].items()}
