"""Two networks, one for convolution filters and one for everything else, and where their checkpoints come from."""

from pathlib import Path

import pytest
import torch

from l2obench.bench.config.registry import BadParameters, optimizer_registry
from l2obench.bench.config.suite import SuiteError, make_suite
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.checkpoint import encode_checkpoint
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.cifar import CifarCnn

GROUPS = {"conv": ("kernel",), "fc": ("weight", "bias")}
PARAMS = {"kernel": torch.randn(1, 1, 3), "weight": torch.randn(1, 1, 4), "bias": torch.randn(1, 1, 2)}


def save(rule: LSTM, path: Path, **recipe: object) -> str:
    path.write_bytes(encode_checkpoint(rule.name, rule.describe_architecture(), recipe, rule.meta_parameters))
    return str(path)


def one(seed: int, **parameters: object) -> LSTM:
    return LSTM(hidden=4, layers=1, **parameters).initialised(torch.Generator().manual_seed(seed))


def test_each_kind_of_parameter_moves_as_its_own_network_says(tmp_path: Path) -> None:
    conv, fc = one(1), one(2)
    both = LSTM(conv=save(conv, tmp_path / "a.safetensors"), fc=save(fc, tmp_path / "b.safetensors"))
    rule = both.for_groups(GROUPS)
    with torch.no_grad():
        updates, _ = rule.update(PARAMS, rule.init(PARAMS), PARAMS)
        for name, owner in (("kernel", conv), ("weight", fc), ("bias", fc)):
            expected, _ = owner.update_tensor(PARAMS[name], owner.init_tensor(PARAMS[name]), PARAMS[name])
            torch.testing.assert_close(updates[name], expected, msg=name)


def test_a_checkpoint_of_two_networks_is_read_whole_or_by_network(tmp_path: Path) -> None:
    trained = LSTM(hidden=4, networks="conv-fc").initialised(torch.Generator().manual_seed(1))
    path = save(trained, tmp_path / "two.safetensors")
    whole, parts = LSTM(checkpoint=path), LSTM(conv=path, fc=path)
    assert whole.networks == parts.networks == "conv-fc"
    for name, value in trained.meta_parameters.items():
        assert torch.equal(whole.meta_parameters[name], value)
        assert torch.equal(parts.meta_parameters[name], value)


def test_two_checkpoints_tell_both_recipes_and_what_they_share(tmp_path: Path) -> None:
    conv = save(one(1), tmp_path / "a.safetensors", task="cifar-cnn", seed=1)
    fc = save(one(2), tmp_path / "b.safetensors", task="cifar-cnn", seed=2)
    recipe = LSTM(conv=conv, fc=fc).recipe
    assert recipe["task"] == "cifar-cnn"
    assert "seed" not in recipe
    assert (recipe["conv"]["seed"], recipe["fc"]["seed"]) == (1, 2)
    assert LSTM(checkpoint=conv).recipe == {"task": "cifar-cnn", "seed": 1}
    assert LSTM().recipe == {}


@pytest.mark.parametrize("given", ["conv={a}", "checkpoint={a},conv={a},fc={a}", "conv={a},fc={c}"])
def test_half_a_pair_and_unlike_networks_are_refused(given: str, tmp_path: Path) -> None:
    paths = {"a": save(one(1), tmp_path / "a.safetensors"), "c": save(one(1, p=5.0), tmp_path / "c.safetensors")}
    with pytest.raises(BadParameters, match=r"leave checkpoint out|two architectures: p is 10.0 and 5.0"):
        optimizer_registry().create(f"lstm[{given.format(**paths)}]")


def test_a_task_without_convolutions_is_refused_in_one_line(tmp_path: Path) -> None:
    path = save(one(1), tmp_path / "a.safetensors")
    suite = make_suite("mine", {"optimizers": [f"lstm[conv={path},fc={path}]"], "tasks": [{"task": "quadratic"}]})
    with pytest.raises(SuiteError, match=r"quadratic: lstm with .* no conv and no fc"):
        suite.cells()


def test_sampled_coordinates_of_two_networks_give_the_whole_gradient_when_all_are_sampled() -> None:
    task = CifarCnn(channels=2, batch=4)
    rule = LSTM(hidden=4, layers=1, networks="conv-fc").initialised(torch.Generator().manual_seed(0))
    rule = rule.for_groups(task.groups)
    found = []
    for coordinates in (None, 10**6):
        problems = Problems(task, [1])
        with torch.no_grad():
            carry = start(problems, rule)
        found.append(truncated_bptt(problems, rule, carry, torch.ones(3), coordinates, torch.Generator()).meta_grads)
    assert {name.split("/")[0] for name in found[0]} == {"conv", "fc"}
    for name, grad in found[0].items():
        assert grad.abs().max() > 0
        torch.testing.assert_close(found[1][name], grad, rtol=1e-3, atol=1e-6, msg=name)


def test_as_a_drop_in_filters_go_to_one_network_and_all_else_to_the_other() -> None:
    rule = LSTM(networks="conv-fc", hidden=3).initialised(torch.Generator().manual_seed(0))
    values = {"conv": torch.ones(2, 3, 3, 3), "fc": torch.ones(2, 4)}
    grads = {kind: torch.full_like(value, 0.1) for kind, value in values.items()}
    params = {kind: torch.nn.Parameter(value.clone()) for kind, value in values.items()}
    optimizer = DropIn(params.values(), rule)
    for lr in (1.0, 0.5):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.state.clear()
        before = {kind: param.detach().clone() for kind, param in params.items()}
        for kind, param in params.items():
            param.grad = grads[kind].clone()
        optimizer.step()
        for kind, param in params.items():
            part = rule.of_kind(kind)
            with torch.no_grad():
                update, _ = part.update_tensor(grads[kind], part.init_tensor(values[kind]), values[kind])
            torch.testing.assert_close(param.detach() - before[kind], lr * update)
    assert not torch.allclose(params["conv"].flatten()[0], params["fc"].flatten()[0])
