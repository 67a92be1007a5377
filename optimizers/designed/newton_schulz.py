"""Orthogonalising a matrix by products alone: the Newton–Schulz iteration of Muon."""

import torch
from torch import Tensor

# Chosen by its authors for the steepest slope at 0 that still brings every singular value into about 0.7 to 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def newton_schulz(matrices: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Bring the singular values of matrices near 1, by five steps of a quintic iteration.

    X = M / (‖M‖_F + ε), then X ← 3.4445 X + (−4.7750 A + 2.0315 A²) X with A = X Xᵀ.

    Args:
        matrices: `[..., rows, columns]`.
        epsilon: ε. It keeps a matrix of zeros at zero, and must be far below the norm of any other.

    Example:
        >>> singular_values = torch.linalg.svdvals(newton_schulz(torch.diag(torch.tensor([3.0, 1.0, 0.1]))))
        >>> bool(((singular_values > 0.65) & (singular_values < 1.25)).all())
        True

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    # A is the smaller of the two products; the result is the same.
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + epsilon)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
