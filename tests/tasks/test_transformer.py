"""The transformer of characters: torch's encoder as the reference, causality, its text, gradients, held-out metrics."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import cross_entropy

from l2obench.bench.rollout.problems import Problems
from l2obench.tasks.base import Tensors
from l2obench.tasks.data.unicode_names import ALPHABET, codes, unicode_names, unicode_names_sources
from l2obench.tasks.transformer import FEW, CharTransformer

CPU = torch.device("cpu")
SMALL = {"width": 8, "heads": 2, "context": 6, "batch": 3, "scale": 0.5}


def replica(task: CharTransformer) -> Tensors:
    """One network of random float64 parameters, gains and biases included."""
    params = task.sample(torch.Generator().manual_seed(1)).params
    random = torch.Generator().manual_seed(2)
    return {name: value.double() + 0.3 * torch.randn(value.shape, generator=random) for name, value in params.items()}


@torch.no_grad()
def torchs_logits(task: CharTransformer, params: Tensors, text: torch.Tensor) -> torch.Tensor:
    """The same network of `torch.nn.TransformerEncoderLayer`s."""
    h = params["embed.characters"][text] + params["embed.places"]
    mask = nn.Transformer.generate_square_subsequent_mask(task.context, dtype=torch.float64)
    names = {
        "self_attn.in_proj_weight": "attention{}.qkv",
        "self_attn.in_proj_bias": "attention{}.qkv_bias",
        "self_attn.out_proj.weight": "attention{}.out",
        "self_attn.out_proj.bias": "attention{}.out_bias",
        "norm1.weight": "attention{}.gain",
        "norm1.bias": "attention{}.shift",
        "linear1.weight": "mlp{}.in",
        "linear1.bias": "mlp{}.in_bias",
        "linear2.weight": "mlp{}.out",
        "linear2.bias": "mlp{}.out_bias",
        "norm2.weight": "mlp{}.gain",
        "norm2.bias": "mlp{}.shift",
    }
    for k in range(task.layers):
        block = nn.TransformerEncoderLayer(
            task.width, task.heads, 4 * task.width, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
        )
        block.load_state_dict({name: params[ours.format(k)] for name, ours in names.items()})
        h = block(h, src_mask=mask)
    h = nn.functional.layer_norm(h, (task.width,), params["head.gain"], params["head.shift"])
    return h @ params["head.weight"].T + params["head.bias"]


@pytest.mark.parametrize("layers", [1, 2])
def test_loss_is_that_of_torchs_encoder_with_a_causal_mask(layers: int) -> None:
    task = CharTransformer(layers=layers, **SMALL)
    params, text = replica(task), Problems(task, [3]).minibatch()["text"][0]
    logits = torchs_logits(task, params, text[:, :-1])
    expected = cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
    torch.testing.assert_close(task.loss(params, {"text": text}), expected)


def test_no_prediction_sees_what_it_predicts() -> None:
    task = CharTransformer(layers=2, **SMALL)
    params, text = replica(task), torch.arange(6)[None]
    changed = text.clone()
    changed[0, 4] = 20
    before, after = task._logits(params, text), task._logits(params, changed)
    torch.testing.assert_close(before[:, :4], after[:, :4], rtol=0, atol=0)
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


@pytest.mark.parametrize("settings", [2, FEW // 2], ids=["one by one", "together"])
def test_the_gradient_of_many_replicas_is_autograds_of_each(settings: int) -> None:
    task = CharTransformer(layers=2, **SMALL)
    problems = Problems(task, [1, 2], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    params = {
        name: torch.randn(2, settings, *value.shape[1:], generator=random, dtype=torch.float64)
        for name, value in problems.start.items()
    }
    batch = problems.minibatch()
    losses, grads = task.loss_and_grad(params, batch)
    one = {name: value[1, 0].clone().requires_grad_() for name, value in params.items()}
    loss = task.loss(one, {"text": batch["text"][1]})
    loss.backward()
    torch.testing.assert_close(losses[1, 0], loss.detach())
    for name, value in one.items():
        torch.testing.assert_close(grads[name][1, 0], value.grad)


def test_minibatches_are_windows_of_the_training_text() -> None:
    task = CharTransformer(**SMALL)
    train = codes("train", CPU)
    last = len(train) - 7
    window = task.minibatch({}, {"start": torch.tensor([[0, 5, last]])})["text"]
    torch.testing.assert_close(window[0], torch.stack([train[:7], train[5:12], train[last:]]))
    draws = task.draw(torch.Generator().manual_seed(0), 1000)["start"]
    assert draws.shape == (1000, 3)
    assert int(draws.max()) <= last


def test_heldout_metrics_are_those_of_the_test_pieces() -> None:
    task = CharTransformer(**{**SMALL, "context": 16})
    params = replica(task)
    found = task.evaluate({name: value[None, None] for name, value in params.items()})
    windows = codes("test", CPU).unfold(0, 17, 16)
    logits, target = torchs_logits(task, params, windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()
    torch.testing.assert_close(found["loss"][0, 0], cross_entropy(logits, target))
    torch.testing.assert_close(found["accuracy"][0, 0], (logits.argmax(1) == target).double().mean())


def test_it_starts_near_a_uniform_guess() -> None:
    task = CharTransformer()
    problems = Problems(task, [1, 2])
    losses, _ = task.loss_and_grad(
        {name: value[:, None] for name, value in problems.start.items()}, problems.minibatch()
    )
    assert losses.tolist() == [[pytest.approx(math.log(39), rel=0.1)]] * 2


def test_the_text_is_the_same_in_every_python() -> None:
    (source,) = unicode_names_sources().values()
    assert source["sha256"] == "16cd47e1a6d25ff386d55f0af4c652fd4b543d0067f21147f8e8ec6d88619ef1"
    text = unicode_names()
    assert text.startswith("SPACE\nEXCLAMATION MARK\nQUOTATION MARK\n")
    assert set(text) == set(ALPHABET)


def test_a_tenth_of_the_text_is_kept_for_tests() -> None:
    text = unicode_names()
    train, test = ("".join(ALPHABET[code] for code in codes(split, CPU)) for split in ("train", "test"))
    assert train.startswith(text[:9000] + text[10_000:11_000])
    assert test.startswith(text[9000:10_000] + text[19_000:20_000])
    assert len(train) == pytest.approx(9 * len(test), rel=0.05)
    assert len(train) + len(test) == len(text) // 1000 * 1000


@pytest.mark.parametrize(
    ("parameters", "what"),
    [({"width": 30}, "width=30 is no multiple of heads=4"), ({"context": 0}, "context"), ({"layers": "two"}, "layers")],
)
def test_bad_parameters_are_refused(parameters: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        CharTransformer(**parameters)
