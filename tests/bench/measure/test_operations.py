"""Operations and bytes against counts by hand, and products against torch's own counter."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import conv2d, relu
from torch.utils.flop_counter import FlopCounterMode

from l2obench.bench.measure.operations import Operations
from l2obench.optimizers.designed.adam import Adam

N = 6
Call = Callable[[torch.Tensor, torch.Tensor], Any]


def counted(call: Callable[..., Any], *given: Any) -> Operations:
    with torch.no_grad(), Operations() as operations:
        call(*given)
    return operations


@pytest.mark.parametrize(
    ("call", "flops", "values"),
    [
        (lambda a, b: a + b, 1, 3),
        (lambda a, b: a * a, 1, 2),  # the same tensor is read once
        (lambda a, b: torch.add(a, b, alpha=2), 2, 3),
        (lambda a, b: a.lerp_(b, 0.1), 3, 3),
        (lambda a, b: a.addcmul_(a, b, value=-1), 2, 3),
        (lambda a, b: a.addcdiv_(a, b, value=0.5), 3, 3),
        (lambda a, b: torch.mul(a, b, out=b), 1, 3),
        (lambda a, b: torch._foreach_mul_([a, b], 2.0), 2, 4),
        (lambda a, b: torch._foreach_sqrt([a, b]), 2, 4),
        (lambda a, b: a.clamp(min=0), 0, 2),
        (lambda a, b: a.copy_(b), 0, 2),
        (lambda a, b: torch.zeros_like(a), 0, 1),
        (lambda a, b: torch.empty_like(a), 0, 0),
        (lambda a, b: a.view(2, 3).t()[0], 0, 0),
    ],
)
def test_operations_and_values_moved_an_element(call: Call, flops: int, values: int) -> None:
    found = counted(call, torch.ones(N), torch.ones(N))
    assert (found.flops, found.bytes) == (flops * N, values * 4 * N)


def test_expanded_tensor_is_read_once_and_reduction_reads_all() -> None:
    assert counted(lambda a, b: a + b, torch.ones(N, 4), torch.ones(N, 1).expand(N, 4)).bytes == 4 * (2 * 4 * N + N)
    found = counted(lambda a: a.sum(), torch.ones(N))
    assert (found.flops, found.bytes) == (N, 4 * (N + 1))


@pytest.mark.parametrize("decomposition", [torch.linalg.qr, torch.linalg.eigh])
def test_decompositions(decomposition: Callable[..., Any]) -> None:
    times = 8 / 3 if decomposition is torch.linalg.qr else 9
    assert counted(decomposition, torch.eye(N)).flops == pytest.approx(times * N**3)


def test_products_and_convolutions_are_torchs_count() -> None:
    weight, kernel = torch.ones(5, 48, requires_grad=True), torch.ones(3, 2, 3, 3, requires_grad=True)

    def forward_and_backward() -> None:
        loss = (relu(conv2d(torch.ones(7, 2, 6, 6), kernel)).flatten(1) @ weight.t()).sum()
        torch.autograd.grad(loss, [weight, kernel])

    with FlopCounterMode(display=False) as theirs:
        forward_and_backward()
    with Operations() as ours:
        forward_and_backward()
    assert ours.flops == theirs.get_total_flops() + 7 * 5  # which leaves out the sum; relu is a selection


@pytest.mark.parametrize("coordinates", [N, 2**15])
def test_adam_by_hand(coordinates: int) -> None:
    """In passes over memory, or in torch's fused kernel from 2¹⁵ coordinates on: one formula, fewer bytes.

    m and v blended 12 bytes each, g² 8, root 8, + ε 8, quotient 12, · lr 8. Fused: zeros 4, then u, g, m and v read
    and, by the kernel's schema, written, 16 each way.
    """
    rule, params = Adam(), {"x": torch.ones(1, 1, coordinates)}
    state = rule.init(params)
    found = counted(rule.update, params, state, params)
    assert found.flops is not None
    assert found.flops // coordinates == 11
    assert found.bytes // coordinates == (68 if coordinates == N else 4 + 2 * 16)


def test_unknown_operator_makes_the_count_unknown_and_is_named() -> None:
    found = counted(torch.fft.fft, torch.ones(N))
    assert found.flops is None
    assert found.unknown == {"_fft_r2c"}


def test_what_a_plugin_compiles_counts_as_it_stands() -> None:
    def update(grad: torch.Tensor) -> torch.Tensor:
        return torch.lerp(grad, 2 * grad, 0.5) + 1

    compiled = torch.compile(update, backend="eager")
    compiled(torch.ones(N))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, expected = counted(compiled, torch.ones(N)), counted(update, torch.ones(N))
    assert (found.flops, found.bytes) == (expected.flops, expected.bytes)


def test_counting_imports_no_compiler() -> None:
    """torch would import its own, which takes longer than a short run."""
    code = "import sys, torch\nfrom l2obench.bench.measure.operations import Operations\n"
    code += "with Operations(): torch.ones(2) + 1\n"
    code += "assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
