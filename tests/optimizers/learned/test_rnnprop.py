"""RNNprop: torch's own modules and Adam's moments as the reference."""

import pytest
import torch

from l2obench.optimizers.learned.cell import BLOCK
from l2obench.optimizers.learned.rnnprop import RNNprop

GATES = torch.cat([torch.arange(0, 12), torch.arange(18, 24), torch.arange(12, 18)])  # ours to torch's order


def trained() -> RNNprop:
    return RNNprop(hidden=6).initialised(torch.Generator().manual_seed(3))


def gradients(coordinates: int = 5) -> torch.Tensor:
    return torch.randn(6, coordinates, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def updates_for(rule: RNNprop, grads: torch.Tensor, graph: bool = False) -> torch.Tensor:
    params, found = {"x": torch.zeros_like(grads[0])}, []
    with torch.set_grad_enabled(graph):
        state = rule.init(params)
        for grad in grads:
            updates, state = rule.update({"x": grad}, state, params)
            found.append(updates["x"].detach())
    return torch.stack(found)


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "in place"])
def test_updates_are_the_papers(graph: bool) -> None:
    rule, grads = trained(), gradients()
    phi = {name: value.double() for name, value in rule.meta_parameters.items()}
    cells = []
    for k in range(2):
        cell = torch.nn.LSTMCell(6, 6, dtype=torch.float64)
        weight, bias = phi[f"lstm{k}.weight"][GATES], phi[f"lstm{k}.bias"][GATES]
        values = {"weight_ih": weight[:, :6], "weight_hh": weight[:, 6:], "bias_ih": bias, "bias_hh": bias * 0}
        cell.load_state_dict(values)
        cells.append(cell)
    mean = square = torch.zeros(5, dtype=torch.float64)
    states, expected = [None, None], []
    for t, grad in enumerate(grads, 1):
        mean = 0.95 * mean + 0.05 * grad
        square = 0.95 * square + 0.05 * grad**2
        root = (square / (1 - 0.95**t)).sqrt() + 1e-8
        x = torch.stack([grad / root, mean / (1 - 0.95**t) / root], dim=1)
        x = torch.nn.functional.elu(torch.nn.functional.linear(x, phi["input.weight"], phi["input.bias"]))
        for k, cell in enumerate(cells):
            states[k] = cell(x, states[k])
            x = states[k][0]
        output = torch.nn.functional.linear(x, phi["output.weight"], phi["output.bias"])[:, 0]
        expected.append(-0.1 * output.tanh().detach())
    torch.testing.assert_close(updates_for(rule, grads, graph), torch.stack(expected), rtol=1e-9, atol=1e-12)


def test_the_scale_of_the_loss_does_not_matter_and_steps_are_bounded() -> None:
    rule = trained().with_meta_parameters({k: 30 * v for k, v in trained().meta_parameters.items()})
    small = updates_for(rule, gradients())
    torch.testing.assert_close(updates_for(rule, 1000 * gradients()), small, rtol=1e-4, atol=1e-9)
    assert 0.09 < small.abs().max() <= 0.1


def test_blocks_do_not_show() -> None:
    grads = gradients(BLOCK + 3)[:2]
    torch.testing.assert_close(updates_for(trained(), grads), updates_for(trained(), grads, graph=True))
