"""`l2obench.load` takes what `-o` takes, and says at once what it can't make an optimizer of."""

import pytest
import torch

import l2obench
from l2obench.bench.config.identity import IdentityError
from l2obench.bench.config.registry import BadParameters, UnknownName


def parameter() -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.ones(2, 2))
    made.grad = torch.full((2, 2), 0.1)
    return made


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("lstm[checkpoint=mnist,lr=0.5]", {}),
        ("lstm[checkpoint=mnist]", {"lr": 0.5}),
        ("lstm", {"checkpoint": "mnist", "lr": 0.5}),
        ("mnist", {"lr": 0.5}),
    ],
)
def test_an_identity_and_keywords_mean_the_same(name: str, hyperparameters: dict[str, object]) -> None:
    moved, expected = parameter(), parameter()
    l2obench.load(name, [moved], **hyperparameters).step()
    l2obench.load("lstm", [expected], checkpoint="mnist", lr=0.5).step()
    assert torch.equal(moved, expected)
    assert not torch.equal(moved, torch.ones(2, 2))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean adam") as raised:
        l2obench.load("adm", [parameter()])
    assert "\n" not in str(raised.value)


def test_a_misspelt_checkpoint_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean general or general-rnnprop\?"):
        l2obench.load("generl", [parameter()])


def test_an_unknown_hyperparameter_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadParameters, match="Did you mean lr"):
        l2obench.load("adam", [parameter()], l=0.1)


def test_a_learned_optimizer_without_a_checkpoint_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"lstm has no meta-parameters: give checkpoint=NAME"):
        l2obench.load("lstm", [parameter()])


def test_a_hyperparameter_is_given_once() -> None:
    with pytest.raises(IdentityError, match=r"gives lr, and so does lr=0\.2; give one"):
        l2obench.load("adam[lr=0.1]", [parameter()], lr=0.2)


def test_a_torch_optimizer_is_used_as_it_is() -> None:
    with pytest.raises(TypeError, match=r"Try: torch\.optim\.Rprop\(params"):
        l2obench.load("torch.optim.Rprop", [parameter()])


def test_a_name_is_a_string() -> None:
    with pytest.raises(TypeError, match="name must be a string such as 'adam'"):
        l2obench.load(3, [parameter()])  # type: ignore[arg-type]
