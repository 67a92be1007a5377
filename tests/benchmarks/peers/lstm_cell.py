"""The learned optimizer that everyone writes: nn.LSTMCell twice over all coordinates, and a linear output."""

import math

import torch
from torch import Tensor

from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task, Tensors

State = list[tuple[Tensor, Tensor]]


class CellRule(torch.nn.Module):
    """The same function as `LSTM`, with its meta-parameters copied over."""

    def __init__(self, rule: LSTM) -> None:
        super().__init__()
        self.rule = rule
        inputs = [{"log": 2, "log-linear": 3, "none": 1}[rule.preprocessing], *[rule.hidden] * (rule.layers - 1)]
        self.cells = torch.nn.ModuleList(torch.nn.LSTMCell(width, rule.hidden) for width in inputs)
        self.output = torch.nn.Linear(rule.hidden, 1)
        phi = rule.meta_parameters
        with torch.no_grad():
            for k, cell in enumerate(self.cells):
                weight, bias = _torch_order(phi[f"lstm{k}.weight"]), _torch_order(phi[f"lstm{k}.bias"])
                cell.weight_ih.copy_(weight[:, : inputs[k]])
                cell.weight_hh.copy_(weight[:, inputs[k] :])
                cell.bias_ih.copy_(bias)
                cell.bias_hh.zero_()
            self.output.weight.copy_(phi["output.weight"])
            self.output.bias.copy_(phi["output.bias"])

    def initial(self, coordinates: int) -> State:
        zeros = torch.zeros(coordinates, self.rule.hidden)
        return [(zeros, zeros) for _ in self.cells]

    def forward(self, grad: Tensor, state: State) -> tuple[Tensor, State]:
        """The update of coordinates `[n]`, and their next state."""
        x = grad.unsqueeze(1)
        if self.rule.preprocessing != "none":
            large = grad.abs() >= math.exp(-self.rule.p)
            logarithm = torch.where(large, grad.abs().clamp_min(math.exp(-self.rule.p)).log() / self.rule.p, -1.0)
            columns = [logarithm, torch.where(large, grad.sign(), grad * math.exp(self.rule.p))]
            if self.rule.preprocessing == "log-linear":
                columns.append(grad * math.exp(self.rule.p / 2))
            x = torch.stack(columns, 1)
        following = []
        for cell, old in zip(self.cells, state, strict=True):
            new = cell(x, old)
            following.append(new)
            x = new[0]
        return self.rule.output_scale * self.output(x).squeeze(1), following

    def weight_gradients(self) -> Tensors:
        """Meta-gradients under the names of `LSTM`."""
        found = {"output.weight": self.output.weight.grad, "output.bias": self.output.bias.grad}
        for k, cell in enumerate(self.cells):
            found[f"lstm{k}.weight"] = _our_order(torch.cat([cell.weight_ih.grad, cell.weight_hh.grad], 1))
            found[f"lstm{k}.bias"] = _our_order(cell.bias_ih.grad)
        return found


def kept_graph(rule: CellRule, task: Task, start: Tensors, batches: list[Tensors], seeds: int) -> Tensors:
    """The meta-gradient of the mean over `seeds` of the mean loss, by one backward pass through all steps.

    The optimizee's gradients come from autograd as well, with its graph kept, and count as constants.
    """
    rule.zero_grad()
    shapes = {name: value.shape for name, value in start.items()}
    theta = torch.cat([value.flatten() for value in start.values()]).requires_grad_()
    state = rule.initial(theta.numel())
    losses: Tensor = _loss(task, theta, shapes, batches[0])
    total = torch.zeros(())
    for batch in batches[1:]:
        (grad,) = torch.autograd.grad(losses, theta, retain_graph=True)
        update, state = rule(grad.detach(), state)
        theta = theta + update
        losses = _loss(task, theta, shapes, batch)
        total = total + losses
    (total / (seeds * (len(batches) - 1))).backward()
    return rule.weight_gradients()


def _loss(task: Task, theta: Tensor, shapes: dict[str, torch.Size], batch: Tensors) -> Tensor:
    """The sum over all functions, written as one would for a batch of them."""
    parts = torch.split(theta, [shape.numel() for shape in shapes.values()])
    params = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    if task.name == "quadratic":
        return ((batch["w"] @ params["theta"].unsqueeze(2)).squeeze(2) - batch["y"]).square().sum()
    h = (batch["x"] @ params["w0"].mT + params["b0"].unsqueeze(1)).sigmoid()
    log_p = (h @ params["w1"].mT + params["b1"].unsqueeze(1)).log_softmax(2)
    return -(log_p * batch["y"]).sum(2).mean(1).sum()


def _torch_order(gates: Tensor) -> Tensor:
    """Input, forget, candidate, output: torch's order of the gates, from ours."""
    i, f, o, candidate = gates.chunk(4)
    return torch.cat([i, f, candidate, o])


def _our_order(gates: Tensor) -> Tensor:
    i, f, candidate, o = gates.chunk(4)
    return torch.cat([i, f, o, candidate])
