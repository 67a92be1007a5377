"""The compiled passes of the controller against its own path in torch, which is the reference."""

import pytest
import torch

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.controller import Controller
from tests.optimizers.learned.fused_steps import assert_equal_steps, drawn, made

pytest.importorskip("numba")
SHAPES: dict[str, tuple[int, ...]] = {
    "wide": (7, 40),
    "embedding": (30, 4),
    "tall": (40, 7),
    "twin": (7, 40),
    "bias": (300,),
    "scalar": (),
    "one": (1, 1),
    "filter": (5, 7, 3, 3),
}


def show_embedding(grads: Tensors, step: int) -> Tensors:
    """In one of the replicas, most rows of the embedding have no gradient."""
    value = grads["embedding"].clone()
    value[0, 1, 5:] = 0
    return {**grads, "embedding": value}


@pytest.mark.parametrize("direction", ["mixed", "muon", "adam"])
def test_thirty_steps_are_those_of_torch(direction: str) -> None:
    rule = made("controller", direction=direction)
    # Features are logarithms and cosines of sums, and the network remembers: rounding grows from step to step.
    assert_equal_steps(rule, SHAPES, change=show_embedding, rtol=1e-3)


def show_embeddings(grads: Tensors, step: int) -> Tensors:
    """In all replicas, most rows of the embedding have no gradient."""
    value = grads["embedding"].clone()
    value[:, :, 5:] = 0
    return {**grads, "embedding": value}


@pytest.mark.parametrize("parameters", [{}, {"decay": "learned"}, {"weight_decay": 0.3}])
def test_an_embedding_in_all_replicas_and_weights_that_decay(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, object]
) -> None:
    from l2obench.optimizers.learned.fused import directions

    seen: set[int] = set()
    orthogonalise = directions.short_newton_schulz

    def note(matrices: torch.Tensor, epsilon: float) -> torch.Tensor:
        seen.add(matrices.shape[-2])
        return orthogonalise(matrices, epsilon)

    monkeypatch.setattr(directions, "short_newton_schulz", note)
    rule = made("controller", **parameters)
    assert_equal_steps(rule, SHAPES, change=show_embeddings, rtol=1e-3)
    # Nobody needs the orthogonalised momentum of an embedding, which may have a hundred thousand rows.
    assert seen == {7, 40, 5}


@pytest.mark.parametrize("value", [0.0, 1e-25, 1e15, float("inf"), float("nan")])
def test_gradients_of_any_size(value: float) -> None:
    def change(grads: Tensors, step: int) -> Tensors:
        return {name: torch.full_like(grad, value) if name == "wide" else grad for name, grad in grads.items()}

    assert_equal_steps(made("controller"), {"wide": (3, 6), "bias": (5,)}, steps=3, change=change, rtol=1e-3, atol=1e-6)


def test_the_passes_are_used_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    from l2obench.optimizers.learned.fused import direction_passes

    mixed: list[int] = []
    mix = direction_passes.mix
    monkeypatch.setattr(direction_passes, "mix", lambda *arguments: (mixed.append(1), mix(*arguments)))
    rule = made("controller")
    assert isinstance(rule, Controller)
    params = drawn({"w": (3, 4), "v": (3, 4), "b": (4,)}, torch.Generator().manual_seed(0))

    def step(stepped: Controller, values: Tensors) -> None:
        state = stepped.observe(stepped.init(values), torch.ones(2, 3), 10)
        stepped.update({name: torch.ones_like(value) for name, value in values.items()}, state, values)

    with torch.no_grad():
        step(rule, params)
        step(rule.fused(), {name: value.double() for name, value in params.items()})
        assert not mixed
        step(rule.fused(), params)
    assert len(mixed) == 2
    step(rule.fused(), params)  # autograd records
    assert len(mixed) == 2
