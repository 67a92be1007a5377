"""`adafac-mlp` as one would write it first: each feature and each time input a column of one table of coordinates."""

import torch
from torch import Tensor

from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from l2obench.optimizers.learned.perceptron import TIMESCALES

DECAYS = torch.tensor([0.9, 0.99, 0.999])


class NaiveAdafacMLP:
    """The rule on one matrix of one replica, whose columns are not fewer than its rows; decays as before training.

    Args:
        rule: gives the meta-parameters.
        rows: of the matrix.
        columns: of the matrix.
    """

    def __init__(self, rule: AdafacMLP, rows: int, columns: int) -> None:
        assert rows <= columns
        phi = rule.meta_parameters
        layers: list[torch.nn.Module] = []
        for k in range(rule.layers + 1):
            weight, bias = phi[f"layer{k}.weight"], phi[f"layer{k}.bias"]
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight.data, linear.bias.data = weight, bias
            layers += [linear, torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1])
        self.rule, self.step = rule, 0
        self.momenta, self.square = torch.zeros(3, rows, columns), torch.zeros(rows, columns)
        self.rows, self.columns = torch.zeros(3, rows, 1), torch.zeros(3, 1, columns)

    def __call__(self, grad: Tensor, param: Tensor) -> Tensor:
        """The update of one step.

        Args:
            grad: `[rows, columns]`.
            param: θ, likewise.
        """
        beta = DECAYS.view(3, 1, 1)
        square = grad * grad
        self.momenta = beta * self.momenta + (1 - beta) * grad
        self.square = 0.999 * self.square + 0.001 * square
        self.rows = beta * self.rows + (1 - beta) * (square + 1e-30).mean(1, keepdim=True)
        self.columns = beta * self.columns + (1 - beta) * (square + 1e-30).mean(0, keepdim=True)
        q = 1 / (self.square + 1e-6).sqrt()
        relative = self.rows / (self.rows.mean(1, keepdim=True) + 1e-9)
        s = 1 / relative.clamp(min=1e-9).sqrt() / self.columns.clamp(min=1e-9).sqrt()
        features = [grad, param, *self.momenta, self.square, *(self.momenta * q), q, *(grad * s)]
        features += [*self.rows, *self.columns, *(1 / (self.rows + 1e-8).sqrt()), *(1 / (self.columns + 1e-8).sqrt())]
        features += [*(self.momenta * s)]
        table = torch.stack([feature.expand_as(grad).flatten() for feature in features], dim=1)
        table = table / (table.square().mean(0) + 1e-5).sqrt()
        time = torch.tanh(self.step / torch.tensor(TIMESCALES) - 1).expand(len(table), -1)
        direction, magnitude = self.network(torch.cat([table, time], dim=1)).unbind(1)
        self.step += 1
        update = direction * torch.exp(self.rule.magnitude_scale * magnitude) * self.rule.step_size
        return -update.view_as(grad)
