"""Small problems: replicas together are replicas alone, and networks are what their descriptions say."""

import pytest
import torch
from torch import Tensor
from torch.func import grad_and_value

from l2obench.bench.config.registry import task_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.designed.adam import Adam
from l2obench.tasks.base import Task
from l2obench.tasks.data.scikit import scikit_digits
from l2obench.tasks.data.unicode_names import ALPHABET
from l2obench.tasks.small.digit_cnn import DigitCnn

IDENTITIES = [
    "regression[norm=true,units=5,layers=2,points=20,batch=4]",
    "regression[initialisation=he,units=5,layers=1,points=20,batch=4]",
    "digit-cnn[channels=3,batch=4]",
    "digit-cnn[channels=6,batch=16,norm=false,initialisation=he]",
    "digit-autoencoder[units=6,code=3,batch=4]",
    "char-rnn[units=5,width=4,context=3,batch=2]",
    "char-rnn[units=5,width=4,context=3,batch=2,cell=tanh]",
    "char-attention[width=6,context=4,batch=2,layers=2]",
    "char-attention[width=6,context=4,batch=2,tied=true]",
    "factorisation[size=7,width=3,batch=5]",
    "deblurring[side=6]",
]


def create(identity: str) -> Task:
    task: Task = task_registry().create(identity)
    return task


def perturbed(task: Task) -> tuple[Tensors, Tensors]:
    """Parameters of two functions under three settings, all different, and a minibatch of each function."""
    problems = Problems(task, [1, 2])
    random = torch.Generator().manual_seed(0)
    params = {
        name: value.unsqueeze(1) + 0.1 * torch.randn(2, 3, *value.shape[1:], generator=random)
        for name, value in problems.start.items()
    }
    return params, {name: value[0] for name, value in problems.minibatches(1).items()}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_replicas_together_are_replicas_alone(identity: str) -> None:
    task = create(identity)
    params, batch = perturbed(task)
    losses, grads = task.loss_and_grad(params, batch)
    assert losses.shape == (2, 3)
    for seed in range(2):
        for setting in range(3):
            one = {name: value[seed, setting] for name, value in params.items()}
            grad, loss = grad_and_value(task.loss)(one, {name: value[seed] for name, value in batch.items()})
            torch.testing.assert_close(losses[seed, setting], loss)
            for name, value in grad.items():
                torch.testing.assert_close(grads[name][seed, setting], value, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_adam_learns_it(identity: str) -> None:
    task = create(identity).model_copy(update={"horizon": 150})
    losses = rollout(task, Adam(lr=0.02), [1, 2], evaluate=False).losses
    assert (losses[..., -20:].mean(-1) < 0.97 * losses[..., :5].mean(-1)).all()


def test_the_gru_is_that_of_torch() -> None:
    task = create("char-rnn[units=5,width=4,context=6,batch=3]")
    params, batch = perturbed(task)
    one = {name: value[0, 0] for name, value in params.items()}
    gru = torch.nn.GRU(4, 5, batch_first=True)
    # torch's gates are reset, update, candidate; it keeps the share of its update gate, as ours does.
    with torch.no_grad():
        gru.weight_ih_l0.copy_(one["in.weight"])
        gru.weight_hh_l0.copy_(one["hidden.weight"])
        gru.bias_ih_l0.copy_(one["in.bias"])
        gru.bias_hh_l0.zero_()
        text = batch["text"][0]
        states, _ = gru(one["embed"][text[:, :-1]])
        logits = states @ one["out.weight"].mT + one["out.bias"]
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
    torch.testing.assert_close(task.loss(one, {"text": text}), expected)


def test_attention_looks_at_no_later_place() -> None:
    task = create("char-attention[width=6,context=5,batch=1]")
    params, batch = perturbed(task)
    one = {name: value[0, 0] for name, value in params.items()}

    def losses_of(text: Tensor) -> Tensor:
        """The loss of a window that ends at each place, times its length: sums over the places before."""
        return torch.stack(
            [
                k
                * create(f"char-attention[width=6,context={k},batch=1]").loss(
                    one | {"places": one["places"][:k]}, {"text": text[:, : k + 1]}
                )
                for k in range(1, 6)
            ]
        )

    text = batch["text"][0]
    other = text.clone()
    other[0, -1] = (other[0, -1] + 1) % len(ALPHABET)
    assert torch.equal(losses_of(text)[:4], losses_of(other)[:4])
    assert not torch.equal(losses_of(text)[4], losses_of(other)[4])


def test_batch_norm_makes_the_scale_of_filters_meaningless() -> None:
    params, batch = perturbed(create("digit-cnn[channels=3,batch=8]"))
    task = create("digit-cnn[channels=3,batch=8]")
    losses, _ = task.loss_and_grad(params, batch)
    scaled, _ = task.loss_and_grad(params | {"conv0.weight": 3 * params["conv0.weight"]}, batch)
    torch.testing.assert_close(losses, scaled, atol=1e-3, rtol=1e-3)


def test_the_true_picture_is_nearly_the_best() -> None:
    task = create("deblurring[noise=0,weight=0,side=8,patches=0,scale=0]")
    problem = task.sample(torch.Generator().manual_seed(1))
    flat = {"picture": torch.full((3, 8, 8), 0.5)}
    blurred = {"picture": problem.data["blurred"]}
    assert task.loss(blurred, problem.data) < 0.2 * task.loss(flat, problem.data)


def test_a_fold_of_digits_is_held_out_and_evaluated() -> None:
    """Each digit of the training set is trained on or held out, and metrics are those of each replica by itself."""
    task = create("digit-cnn[channels=3,batch=400,fold=2]")
    assert isinstance(task, DigitCnn)
    everything = scikit_digits("train").inputs
    trained, held_out = task.part("train"), task.part("test")
    rows = sorted([*trained.inputs.tolist(), *held_out.inputs.tolist()])
    assert rows == sorted(everything.tolist())
    drawn = Problems(task, [1]).minibatches(20)["x"].flatten(0, 2).flatten(1)
    assert set(map(tuple, drawn.tolist())) == set(map(tuple, trained.inputs.tolist()))

    params, _ = perturbed(task)
    metrics = task.evaluate(params)
    assert set(metrics) == {"loss", "accuracy"}
    one = {name: value[1, 2] for name, value in params.items()}
    batch = {"x": held_out.inputs.view(-1, 1, 8, 8), "y": held_out.labels}
    torch.testing.assert_close(metrics["loss"][1, 2], task.loss(one, batch))
    # A bias that outweighs all says the same class everywhere.
    params["fc.bias"][1, 2, 7] = 1e4
    share = (held_out.labels == 7).float().mean()
    assert task.evaluate(params)["accuracy"][1, 2] == share


def test_without_a_fold_no_digits_are_evaluated() -> None:
    task = create("digit-cnn[channels=3]")
    params, _ = perturbed(task)
    assert task.evaluate(params) == {}
