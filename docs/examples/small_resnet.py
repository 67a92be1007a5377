"""A residual network with batch norm on scikit-learn's digits, trained in a plain loop by four optimizers."""

import torch
from race import Problem, main
from resnet_and_gru import TRAINING, ResidualNetwork, images
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, BLOCKS, BATCH = 16, 3, 32


def make_problem() -> Problem:
    """The training."""
    x, y = images()

    def batch_loss(model: nn.Module, generator: torch.Generator) -> Tensor:
        rows = torch.randint(TRAINING, (BATCH,), generator=generator)
        return functional.cross_entropy(model(x[rows]), y[rows])

    def heldout_loss(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(x[TRAINING:]), y[TRAINING:])

    return Problem(lambda: ResidualNetwork(CHANNELS, BLOCKS), batch_loss, heldout_loss)


if __name__ == "__main__":
    main(make_problem(), "A residual network of 14,000 parameters", "small-resnet.png", steps=200)
