"""ELO's rules against numpy, in the layout of their authors, for thirty steps on tensors of every kind."""

import pytest
import torch

from l2obench.optimizers.learned.elo import ELO, ELOCelo2, clip_to_norm
from tests.optimizers.learned import celo_reference as reference
from tests.optimizers.learned.formula_steps import DOUBLE, Arrays, Step, assert_is_formula, numbers, trained


@pytest.mark.parametrize("most", [0.0, 2.0])
def test_elo_is_its_authors_formula(most: float) -> None:
    rule = trained(ELO(hidden=6, lr=0.02, weight_decay=0.1, max_norm=most))

    def begin(params: Arrays) -> Step:
        memory = {name: reference.remember(value.shape) for name, value in params.items()}

        def step(t: int, params: Arrays, grads: Arrays, loss: float) -> Arrays:
            found = reference.clipped_to_norm(grads, most) if most else grads
            moves = {
                name: reference.small_fc_direction(numbers(rule), theta, found[name], memory[name], t)
                for name, theta in params.items()
            }
            return {name: -0.02 * (moves[name] + 0.1 * theta) for name, theta in params.items()}

        return step

    assert_is_formula(rule, begin)


def test_elo_celo2_is_its_authors_formula() -> None:
    rule = trained(ELOCelo2(lr=0.02))
    assert_is_formula(rule, lambda params: reference.celo2_steps(numbers(rule), params, most=1.0))


def test_a_nan_counts_as_no_gradient() -> None:
    rule = trained(ELO(hidden=3))
    params = {"w": torch.ones(1, 1, 3, 2, dtype=DOUBLE)}
    bad = torch.ones_like(params["w"])
    bad[0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        found, _ = rule.update({"w": bad}, rule.init(params), params)
        expected, _ = rule.update({"w": bad.nan_to_num()}, rule.init(params), params)
    torch.testing.assert_close(found["w"], expected["w"], rtol=0, atol=0)


def test_replicas_are_clipped_each_by_itself() -> None:
    grads = {"a": torch.tensor([[[3.0]], [[0.3]]]), "b": torch.tensor([[[4.0]], [[0.4]]])}
    found = clip_to_norm(grads, 1.0)
    assert found["a"].flatten().tolist() == pytest.approx([0.6, 0.3])
    assert found["b"].flatten().tolist() == pytest.approx([0.8, 0.4])
