"""Memory of each rule's state: `python -m l2obench.bench.studies.state_memory` prints the table of docs/drop-in.md."""

import torch
import typer

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers import NEEDS, RULES
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.learned.base import RANDOM, LearnedOptimizer
from l2obench.optimizers.learned.meta_sgd import MetaSGD

# One replica of a perceptron with 512 inputs, 512 units and 10 outputs: matrices and vectors as models have them.
SHAPES = {"hidden.weight": (512, 512), "hidden.bias": (512,), "output.weight": (10, 512), "output.bias": (10,)}
COLUMNS = ("optimizer", "bytes a parameter", "it uses", "looks at")


def measure_state(rule: Optimizer) -> float:
    """Bytes of a rule's state for each parameter of the perceptron, after its first step, in float32.

    Args:
        rule: a learned one has its meta-parameters.

    Example:
        >>> from l2obench.optimizers.designed.adam import Adam
        >>> round(measure_state(Adam()), 1)
        8.0
    """
    generator = torch.Generator().manual_seed(0)
    params = {name: torch.randn(1, 1, *shape, generator=generator) for name, shape in SHAPES.items()}
    grads = {name: torch.randn(value.shape, generator=generator) for name, value in params.items()}
    with torch.no_grad():
        state = rule.observe(rule.init(params), torch.ones(1, 1), 100)
        _, state = rule.update(grads, state, params)
    return rule.state_bytes(state) / sum(value.numel() for value in params.values())


def rows() -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for every rule that is installed, in the order of the registry; learned ones untrained."""
    found: list[tuple[str, ...]] = []
    for name in RULES:
        cls = optimizer_registry().resolve(name)
        if name in NEEDS or cls is MetaSGD:
            continue
        rule = optimizer_registry().create(name, {"checkpoint": RANDOM} if issubclass(cls, LearnedOptimizer) else {})
        uses = ", ".join(("gradients", *rule.uses))
        looks = "each coordinate" if isinstance(rule, CoordinatewiseOptimizer) else "whole tensors, or all of them"
        looks = "as in its library" if isinstance(rule, TorchOptimizer) else looks
        found.append((f"`{name}`", f"{measure_state(rule):.1f}", uses, looks))
    return found


def main() -> None:
    """Print the table."""
    typer.echo(f"| {' | '.join(COLUMNS)} |\n|---|---|---|---|")
    for row in rows():
        typer.echo(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    typer.run(main)
