"""Four steps on the Gram matrix: the iteration as written, and what it promises for singular values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from l2obench.optimizers.designed.short_newton_schulz import COEFFICIENTS, short_newton_schulz

DOUBLE = torch.float64


def with_singular_values(values: Tensor, rows: int, columns: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, len(values), generator=random, dtype=DOUBLE))
    right, _ = torch.linalg.qr(torch.randn(columns, len(values), generator=random, dtype=DOUBLE))
    return left @ torch.diag(values) @ right.T


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (8, 3), (1, 5)])
def test_it_is_the_iteration_on_the_matrix_itself(shape: tuple[int, int]) -> None:
    matrix = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    x = matrix / torch.linalg.matrix_norm(matrix, keepdim=True)
    for a, b, c in COEFFICIENTS:
        gram = x @ x.mT
        x = a * x + b * gram @ x + c * gram @ gram @ x
    torch.testing.assert_close(short_newton_schulz(matrix), x)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.003, 1.0), min_size=1, max_size=6), st.integers(0, 1000))
def test_singular_values_from_three_thousandths_of_the_norm_come_near_one(shares: list[float], seed: int) -> None:
    values = torch.tensor(shares, dtype=DOUBLE)
    matrix = with_singular_values(values, 6, 9, seed)
    kept = values / torch.linalg.vector_norm(values) >= 0.003
    found = torch.linalg.svdvals(short_newton_schulz(matrix))[: len(shares)]
    assert int((found > 0.8).sum()) >= int(kept.sum())
    assert float(found.max()) < 1.21


def test_a_small_singular_value_grows_three_hundred_fold_at_most() -> None:
    values = torch.tensor([1.0, 1e-5], dtype=DOUBLE)
    found = torch.linalg.svdvals(short_newton_schulz(with_singular_values(values, 4, 4)))
    assert 290e-5 < float(found[1]) < 297e-5


def test_zeros_stay_zeros_and_the_scale_means_nothing() -> None:
    matrix = torch.randn(4, 7, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    assert torch.equal(short_newton_schulz(torch.zeros(3, 4)), torch.zeros(3, 4))
    torch.testing.assert_close(short_newton_schulz(1e6 * matrix), short_newton_schulz(matrix))
