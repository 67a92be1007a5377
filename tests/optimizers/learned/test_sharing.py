"""The rules that share information between coordinates, LSTM+GAC and NTM-BFGS: formulas, and who hears of whom."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.cell import BLOCK
from l2obench.optimizers.learned.gac import GAC
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.optimizers.learned.ntm_bfgs import NTMBFGS
from tests.optimizers.learned.replay import run

STEPS = 5
SIZES = {"matrix": (3, 2), "bias": (4,), "scalar": ()}


def trained(rule: LearnedOptimizer) -> LearnedOptimizer:
    """The rule with random meta-parameters in float64, biases too."""
    random = torch.Generator().manual_seed(3)
    phi = {name: value.double() for name, value in rule.initialised(random).meta_parameters.items()}
    for name, value in phi.items():
        if name.endswith("bias"):
            phi[name] = value + 0.1 * torch.randn(value.shape, generator=random)
    return rule.with_meta_parameters(phi)


def gradients(seeds: int = 1, sizes: dict[str, tuple[int, ...]] = SIZES) -> list[Tensors]:
    random = torch.Generator().manual_seed(0)
    return [
        {name: torch.randn(seeds, 1, *size, generator=random, dtype=torch.float64) for name, size in sizes.items()}
        for _ in range(STEPS)
    ]


def row(tensors: Tensors) -> Tensor:
    """The coordinates of the only replica."""
    return torch.cat([value.flatten() for value in tensors.values()])


def formula(rule: GAC, steps: list[Tensors]) -> list[Tensor]:
    """The docstrings' formulas for one replica, written the other way round: coordinates first, M as a matrix."""
    phi, units, a = rule.meta_parameters, rule.hidden, rule.averaging
    n = len(row(steps[0]))
    heads = {"read": 0, "left": 0, "right": 0} | (rule.heads if isinstance(rule, NTMBFGS) else {})
    memory = torch.zeros(n, n, dtype=torch.float64)
    written: list[Tensor] = []
    result = torch.zeros(n, heads["read"], dtype=torch.float64)
    hidden = torch.zeros(rule.layers, n, units, dtype=torch.float64)
    cell = torch.zeros_like(hidden)
    updates = []
    for grads in steps:
        x = torch.cat([rule.preprocess(row(grads)).T, result], dim=1)
        for k in range(rule.layers):
            gates = torch.cat([x, hidden[k]], dim=1) @ phi[f"lstm{k}.weight"].T + phi[f"lstm{k}.bias"]
            i, f, o = (gates[:, j * units : (j + 1) * units].sigmoid() for j in range(3))
            cell[k] = f * cell[k] + i * gates[:, 3 * units :].tanh()
            hidden[k] = o * cell[k].tanh()
            hidden[k][:, :a] = hidden[k][:, :a].sum(0) / n
            x = hidden[k]
        updates.append(rule.output_scale * (x @ phi["output.weight"].T + phi["output.bias"])[:, 0])
        if heads["read"]:
            read, left, right = (x @ phi[f"{name}.weight"].T + phi[f"{name}.bias"] for name in heads)
            result = memory @ read
            written.append(sum((torch.outer(left[:, j], right[:, j]) for j in range(heads["left"])), memory * 0) / n)
            memory = memory + written[-1] - (written.pop(0) if len(written) > rule.memory else 0)
    return updates


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "in place"])
@pytest.mark.parametrize(
    "rule",
    [
        GAC(),
        GAC(preprocessing="log-linear", hidden=7, layers=3, averaging=7),
        GAC(preprocessing="none", averaging=1),
        NTMBFGS(memory=STEPS),
        NTMBFGS(memory=STEPS, reads=3, writes=2, preprocessing="none"),
        NTMBFGS(memory=2, hidden=6),
    ],
    ids=repr,
)
def test_updates_are_the_formulas(rule: GAC, graph: bool) -> None:
    """NTM-BFGS's memory is the explicit matrix, from which the oldest writes are taken away once there are too many."""
    rule = trained(rule)  # type: ignore[assignment]
    steps = gradients()
    for found, expected in zip(run(rule, steps, graph), formula(rule, steps), strict=True):
        torch.testing.assert_close(row(found), expected, rtol=1e-9, atol=1e-12)


def test_without_averaging_cells_it_is_the_lstm() -> None:
    lstm = trained(LSTM(preprocessing="log-linear"))
    gac = GAC(preprocessing="log-linear", averaging=0).with_meta_parameters(lstm.meta_parameters)
    for found, expected in zip(run(gac, gradients(3)), run(lstm, gradients(3)), strict=True):
        for name, update in expected.items():
            torch.testing.assert_close(found[name], update, rtol=1e-12, atol=0)


@pytest.mark.parametrize("sizes", [{"writes": 0}, {"memory": 0}], ids=str)
def test_without_writes_it_is_the_controller(sizes: dict[str, int]) -> None:
    rule = trained(NTMBFGS(**sizes))
    kept = torch.tensor([0, 1, *range(3, 23)])  # the weights of all inputs but what was read
    phi = {name: value for name, value in rule.meta_parameters.items() if name.startswith(("lstm", "output"))}
    phi["lstm0.weight"] = phi["lstm0.weight"][:, kept]
    for found, expected in zip(run(rule, gradients()), run(GAC().with_meta_parameters(phi), gradients()), strict=True):
        torch.testing.assert_close(row(found), row(expected), rtol=1e-12, atol=0)


RULES = [GAC(), NTMBFGS(memory=3)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=20)
@given(order=st.permutations(range(11)))
def test_permuted_coordinates_have_permuted_updates(rule: GAC, order: list[int]) -> None:
    """Neither their order nor how they are cut into tensors matters."""
    learned = trained(rule)
    steps = gradients()
    permuted = [{"all": row(grads)[order][None, None]} for grads in steps]
    for found, expected in zip(run(learned, permuted), run(learned, steps), strict=True):
        torch.testing.assert_close(row(found), row(expected)[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_coordinates_hear_of_each_other_and_replicas_do_not(rule: GAC) -> None:
    learned = trained(rule)
    steps = gradients(seeds=2)
    changed = [{name: value.clone() for name, value in grads.items()} for grads in steps]
    changed[0]["scalar"][0] += 1
    before, after = run(learned, steps), run(learned, changed)
    assert (after[-1]["matrix"][0] - before[-1]["matrix"][0]).abs().min() > 1e-9
    assert all(torch.equal(after[-1][name][1], before[-1][name][1]) for name in SIZES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_twice_the_same_coordinates_have_the_same_updates(rule: GAC) -> None:
    """Means instead of sums: what a network learnt on few coordinates has the same scale on many."""
    learned = trained(rule)
    twice = [{part: row(grads)[None, None] for part in "ab"} for grads in gradients()]
    for found, expected in zip(run(learned, twice), run(learned, gradients()), strict=True):
        torch.testing.assert_close(found["b"][0, 0], row(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_blocks_do_not_show(rule: GAC) -> None:
    """The path in blocks equals the graph's, wherever the blocks end among the replicas."""
    learned = trained(rule)
    steps = gradients(seeds=3, sizes={"x": (BLOCK // 2 + 5,)})[:2]
    for found, expected in zip(run(learned, steps), run(learned, steps, graph=True), strict=True):
        torch.testing.assert_close(found["x"], expected["x"], rtol=1e-9, atol=1e-12)


def test_no_more_units_are_averaged_than_there_are() -> None:
    with pytest.raises(ValidationError, match="averaging=5 is more than the 4 units"):
        GAC(hidden=4)
