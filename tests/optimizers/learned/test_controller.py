"""The controller against numpy, for thirty steps on tensors of every kind, and what its parts promise."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.controller import Controller
from l2obench.optimizers.learned.controller_features import GROUPS

DOUBLE, STEPS, HORIZON = torch.float64, 30, 40
SHAPES: dict[str, tuple[int, ...]] = {
    "embedding": (10, 3),
    "wide": (4, 6),
    "gain": (4,),
    "square": (5, 5),
    "filter": (6, 4, 3, 3),
    "scalar": (),
}


def trained(**fields: Any) -> Controller:
    """A controller with meta-parameters of a size at which every part of the formula shows."""
    rule = Controller(**fields).initialised(torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(4)
    phi = {
        name: value.double() + 0.3 * torch.randn(value.shape, generator=random, dtype=DOUBLE)
        for name, value in rule.meta_parameters.items()
    }
    return rule.with_meta_parameters(phi)


def starts(seeds: int = 1) -> Tensors:
    random = torch.Generator().manual_seed(1)
    return {name: 0.3 * torch.randn(seeds, 1, *shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}


def gradients(params: Tensors, step: int) -> tuple[Tensors, Tensor]:
    """Gradients of a noisy quadratic whose embedding is used in its first rows only, and its loss."""
    random = torch.Generator().manual_seed(100 + step)
    grads = {
        name: value + 0.2 * torch.randn(value.shape, generator=random, dtype=DOUBLE) for name, value in params.items()
    }
    grads["embedding"][..., 6:, :] = 0
    loss = sum((value.reshape(*value.shape[:2], -1).square().sum(-1) for value in params.values()), torch.zeros(()))
    return grads, loss


def run(rule: Controller, params: Tensors, steps: int = STEPS, horizon: int = HORIZON) -> Tensors:
    state = rule.init(params)
    with torch.no_grad():
        for step in range(steps):
            grads, loss = gradients(params, step)
            updates, state = rule.update(grads, rule.observe(state, loss, horizon), params)
            params = {name: value + updates[name] for name, value in params.items()}
    return params


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def orthogonalised(m: np.ndarray) -> np.ndarray:
    x = m.reshape(m.shape[0], -1)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (np.linalg.norm(x) + 1e-12)
    steps = (
        (8.3837, -24.7659, 18.3571),
        (4.0434, -3.0114, 0.5695),
        (3.5056, -2.6267, 0.5257),
        (2.4901, -1.8343, 0.4368),
    )
    for one, three, five in steps:
        a = x @ x.T
        x = one * x + (three * a + five * a @ a) @ x
    x = (x.T if tall else x).reshape(m.shape)
    return x / (rms(x) + 1e-8)


class Reference:
    """The formulas of the docstrings, one replica, one tensor after the other."""

    def __init__(self, phi: dict[str, np.ndarray], params: dict[str, np.ndarray]) -> None:
        self.phi, self.t, self.n = phi, 0, len(params)
        self.m = {k: np.zeros_like(v) for k, v in params.items()}
        self.v = {k: np.zeros_like(v) for k, v in params.items()}
        self.d = {k: np.zeros_like(v) for k, v in params.items()}
        self.first = {k: rms(v) for k, v in params.items()}
        zero = dict.fromkeys(params, 0.0)
        self.mean, self.begin, self.fast, self.slow = dict(zero), dict(zero), dict(zero), dict(zero)
        self.straight, self.adam, self.weight, self.rate = dict(zero), dict(zero), dict(zero), dict(zero)
        self.loss: dict[str, float] = {}

    def matrix(self, name: str) -> bool:
        return name in ("wide", "square", "filter")

    def usual(self, name: str) -> float:
        return 0.5 / math.sqrt(math.prod(SHAPES[name][1:])) if self.matrix(name) else 0.2

    def floor(self, name: str) -> float:
        small = self.matrix(name) and 0 < self.first[name] < 0.2 * self.usual(name)
        return self.first[name] if small else self.usual(name)

    def of_loss(self, loss: float) -> list[float]:
        t = self.t
        if t == 0:
            self.loss = dict.fromkeys(("first", "fast", "mean", "slow", "low", "last"), loss) | {"noise": 0.01}
            self.loss |= dict.fromkeys(("promised", "promises", "gains"), 0.0)
        m = self.loss
        now, deviation = 2 * math.log(loss / m["fast"]), np.clip((loss - m["mean"]) / m["mean"], -3, 3)
        quick = max(1 / 5, 1 / (t + 1))
        m["promises"] += quick * (m["promised"] - m["promises"])
        m["gains"] += quick * (m["last"] - loss - m["gains"])
        m["last"], m["promised"] = loss, 0.0
        for key, weight in (("fast", 1 / 5), ("mean", 1 / 30), ("slow", 1 / max(10, HORIZON / 10))):
            m[key] += max(weight, 1 / (t + 1)) * (loss - m[key])
        m["noise"] += max(0.05, 1 / (t + 2)) * (deviation**2 - m["noise"])
        m["low"] = min(m["low"], m["fast"])
        x = [
            now,
            math.log(max(m["promises"], 0) / m["fast"] + 1e-5) / 3 + 1,
            m["gains"] / (abs(m["promises"]) + 1e-11 * m["fast"]) if t else 0.0,
            5 * math.log(m["fast"] / m["mean"]),
            5 * math.log(m["mean"] / m["slow"]),
            2 * math.log(m["fast"] / m["low"]),
            math.log(m["fast"] / m["first"]) / 3,
            math.log(m["noise"] + 1e-6) / 4 + 1,
        ]
        return [float(np.clip(value, -3, 3)) for value in x]

    def features(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray], loss: float) -> list[np.ndarray]:
        t, x = self.t, self.t / HORIZON
        time = [2 * x - 1, math.log(1 - x + 1 / HORIZON) / 2 + 0.5, math.log(t + 1) / 2 - 2]
        time += [math.log(HORIZON) / 1.5 - 3.5, 2 / (1 + t / 10) - 0.5]
        last = self.of_loss(loss)
        share, total = 1 / (t + 1), sum(v.size for v in params.values())
        rows, slows, noises = [], [], []
        for k, (name, g) in enumerate(grads.items()):
            p, m, v, d, size = params[name], self.m[name], self.v[name], self.d[name], g.size
            matrix = len(SHAPES[name]) >= 2
            aspect = math.log(g.shape[0] / (size / g.shape[0])) if matrix else 0.0
            kind = [1.0 if matrix else -1.0, float(name == "embedding"), (math.log(size) - 5) / 3, aspect / 2]
            kind += [math.log(size / total) / 3 + 1, 2 * k / (self.n - 1) - 1]
            usual, first = self.usual(name), self.first[name]
            weights = [math.log(rms(p) + 1e-3) / 2 + 1, math.log(rms(p) / usual + 0.01) / 2]
            weights.append(float(np.clip(math.log(rms(p) / (first + 0.1 * usual)), -2, 3)))
            gn, mn, dn = (float(np.linalg.norm(z)) + 1e-20 for z in (g, m, d))
            along = float((g * d).sum()) / gn / dn
            size_now = math.log(gn / math.sqrt(size) + 1e-12)
            self.fast[name] += max(1 / 5, share) * (along - self.fast[name])
            self.slow[name] += max(1 / 30, share) * (along - self.slow[name])
            self.mean[name] += max(1 / 30, share) * (size_now - self.mean[name])
            if t < 5:
                self.begin[name] += share * (size_now - self.begin[name])
            corrected = float((m * m).sum()) / (self.weight[name] ** 2 + 1e-8)
            noise = math.log(corrected / (float(v.sum()) / (1 - 0.99**t) + 1e-30) + 1e-4) / 2 if t else 0.0
            slows.append(6 * self.slow[name])
            noises.append(noise + 1)
            gradient = [
                float(np.clip(size_now - self.mean[name], -2, 2)),
                float(np.clip((self.mean[name] - self.begin[name]) / 2, -2, 2)),
                2 * float((g * m).sum()) / gn / mn,
                4 * self.fast[name],
                slows[-1],
                2 * self.straight[name] - 1,
                self.adam[name] + 1,
                noises[-1],
            ]
            rows.append((time, kind, weights, gradient, self.rate[name]))
        shared = [4 * float(np.mean(list(self.fast.values()))), float(np.mean(slows)), float(np.mean(noises))]
        return [
            np.clip(np.array([*time, *kind, *weights, *gradient, *shared, rate, *last]), -4, 4)
            for time, kind, weights, gradient, rate in rows
        ]

    def step(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray], loss: float) -> dict[str, np.ndarray]:
        t, after = self.t, {}
        decay = min(1, (t + 1) / max(1, min(0.02 * HORIZON, 20))) * (1 + math.cos(math.pi * t / HORIZON)) / 2
        for name, x in zip(params, self.features(params, grads, loss), strict=True):
            g, p = grads[name], params[name]
            h = np.tanh(self.phi["hidden.weight"] @ x + self.phi["hidden.bias"])
            o = self.phi["output.weight"] @ h + self.phi["output.bias"] + self.phi["linear.weight"] @ x
            log_step, mixture = 3 * math.tanh(o[0] / 3), 1 / (1 + math.exp(-o[1]))
            beta = 1 - 0.1 * math.exp(1.5 * math.tanh(o[2] / 1.5))
            self.rate[name] = float(np.clip(self.rate[name] + 0.1 * math.tanh(o[3]) / (1 + t / 40), -4, 4))
            self.weight[name] = beta * self.weight[name] + 1 - beta
            self.m[name] = beta * self.m[name] + (1 - beta) * g
            self.v[name] = 0.99 * self.v[name] + 0.01 * g * g
            ahead = (beta * self.m[name] + (1 - beta) * g) / (beta * self.weight[name] + 1 - beta)
            adam = ahead / (np.sqrt(self.v[name] / (1 - 0.99 ** (t + 1))) + 1e-12)
            self.adam[name] = math.log(rms(adam) + 1e-8)
            direction = adam
            if self.matrix(name):
                mixed = mixture * orthogonalised(ahead) + (1 - mixture) * adam / (rms(adam) + 1e-8)
                direction = mixed / (rms(mixed) + 1e-8)
            norm, last = float(np.linalg.norm(direction)), float(np.linalg.norm(self.d[name]))
            self.straight[name] = float((direction * self.d[name]).sum()) / (norm + 1e-8) / (last + 1e-8)
            self.d[name] = direction
            floor = self.floor(name)
            size = min(max(rms(p), floor), 1.5 * max(self.first[name], floor))
            step = 0.036 * decay * math.exp(log_step + self.rate[name]) * size
            self.loss["promised"] += step * float((direction * g).sum())
            after[name] = p - step * direction
        self.t += 1
        return after


def test_thirty_steps_are_those_of_the_formulas() -> None:
    rule, params = trained(), starts()
    found = run(rule, params)
    expected = {name: value[0, 0].numpy() for name, value in params.items()}
    reference = Reference({name: value.numpy() for name, value in rule.meta_parameters.items()}, expected)
    for step in range(STEPS):
        grads, loss = gradients({k: torch.from_numpy(np.asarray(v))[None, None] for k, v in expected.items()}, step)
        expected = reference.step(expected, {k: g[0, 0].numpy() for k, g in grads.items()}, float(loss))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name][0, 0].numpy(), value, rtol=1e-6, atol=1e-9, err_msg=name)


def test_a_stack_of_meta_parameters_is_each_of_them_alone() -> None:
    rules = [trained(), Controller().initialised(torch.Generator().manual_seed(9))]
    rules[1] = rules[1].with_meta_parameters({k: v.double() for k, v in rules[1].meta_parameters.items()})
    stacked = rules[0].with_meta_parameters(
        {name: torch.stack([rule.meta_parameters[name] for rule in rules]) for name in rules[0].meta_parameters}
    )
    one = starts(seeds=2)
    both = {name: value.repeat_interleave(2, 1) for name, value in one.items()}
    state, states = stacked.init(both), [rule.init(one) for rule in rules]
    for step in range(4):
        grads, loss = gradients(one, step)
        observed = stacked.observe(state, loss.repeat_interleave(2, 1), HORIZON)
        together, state = stacked.update({k: g.repeat_interleave(2, 1) for k, g in grads.items()}, observed, both)
        for k, rule in enumerate(rules):
            alone, states[k] = rule.update(grads, rule.observe(states[k], loss, HORIZON), one)
            for name in one:
                torch.testing.assert_close(together[name][:, k : k + 1], alone[name], rtol=1e-9, atol=1e-12)


def test_a_replica_that_diverged_disturbs_no_other() -> None:
    rule, params = trained(), starts(seeds=2)
    spoiled = {name: value.clone() for name, value in params.items()}
    for value in spoiled.values():
        value[1] = math.nan
    expected, found = run(rule, params, steps=5), run(rule, spoiled, steps=5)
    for name in params:
        assert torch.equal(expected[name][0], found[name][0])


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_the_scale_of_the_loss_means_nothing(scale: float) -> None:
    rule, params = trained(), starts()
    plain, scaled = rule.init(params), rule.init(params)
    for step in range(5):
        grads, loss = gradients(params, step)
        expected, plain = rule.update(grads, rule.observe(plain, loss, HORIZON), params)
        other = {name: scale * grad for name, grad in grads.items()}
        found, scaled = rule.update(other, rule.observe(scaled, scale * loss, HORIZON), params)
    for name in params:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-9)


def test_at_the_end_of_the_run_steps_are_zero() -> None:
    rule, params = trained(), starts()
    state = {**rule.init(params), "step": HORIZON}
    grads, loss = gradients(params, 0)
    updates, _ = rule.update(grads, rule.observe(state, loss, HORIZON), params)
    assert all(float(update.abs().max()) < 1e-12 for update in updates.values())


def test_weights_that_start_tiny_take_steps_of_their_own_size() -> None:
    rule = Controller(checkpoint="random")
    params = {"w": 1e-3 * torch.randn(1, 1, 20, 20)}
    state = rule.observe(rule.init(params), torch.ones(1, 1), 10)
    updates, _ = rule.update({"w": torch.randn(1, 1, 20, 20)}, state, params)
    assert float(updates["w"].square().mean().sqrt()) < 0.2 * float(params["w"].square().mean().sqrt())


def test_weight_decay_shrinks_matrices_without_gradient_but_no_vectors_and_no_embeddings() -> None:
    params = {"w": torch.ones(1, 1, 3, 3), "b": torch.ones(1, 1, 3), "table": torch.ones(1, 1, 8, 3)}
    rule = Controller(checkpoint="random", weight_decay=0.5)
    state = rule.observe(rule.init(params), torch.ones(1, 1), 1000)
    state["of"]["table"]["embedding"] = torch.ones(1, 1, dtype=torch.bool)
    grads = {name: torch.zeros_like(param) for name, param in params.items()}
    updates, _ = rule.update(grads, {**state, "step": 500}, params)
    torch.testing.assert_close(updates["w"], torch.full((1, 1, 3, 3), -0.036 * 0.5 * 0.5))
    assert not updates["b"].any()
    assert not updates["table"].any()


@pytest.mark.parametrize(
    ("fields", "groups"),
    [
        ({"inputs": "no-loss"}, GROUPS.keys() - {"loss"}),
        ({"inputs": "time-and-kind"}, {"time", "kind"}),
        ({}, GROUPS.keys()),
    ],
)
def test_parts_can_be_left_out(fields: dict[str, Any], groups: set[str]) -> None:
    rule = trained(**fields)
    assert rule.meta_parameters["hidden.weight"].shape[1] == sum(len(GROUPS[group]) for group in groups)
    assert sum(map(len, GROUPS.values())) == 34
    assert all(value.isfinite().all() for value in run(rule, starts(), steps=5).values())


def test_a_learned_decay_is_that_of_the_formula_and_begins_at_a_tenth() -> None:
    params = {"w": torch.ones(1, 1, 3, 3, dtype=DOUBLE)}
    rule = Controller(checkpoint="random", decay="learned", weight_decay=0.5)
    grads = {"w": torch.zeros_like(params["w"])}

    def second_step(phi: Tensors) -> Tensor:
        own = rule.with_meta_parameters(phi)
        state = own.observe(own.init(params), torch.ones(1, 1, dtype=DOUBLE), 1000)
        updates, _ = own.update(grads, {**state, "step": 500}, params)
        return updates["w"]

    phi = {name: value.double() for name, value in rule.meta_parameters.items()}
    torch.testing.assert_close(second_step(phi), torch.full((1, 1, 3, 3), -0.036 * 0.5 * 0.6, dtype=DOUBLE))
    raised = {**phi, "output.bias": phi["output.bias"] + torch.tensor([0, 0, 0, 0, 2.0], dtype=DOUBLE)}
    share = 0.5 + 0.1 * math.exp(3 * math.tanh(2 / 3))
    torch.testing.assert_close(second_step(raised), torch.full((1, 1, 3, 3), -0.036 * 0.5 * share, dtype=DOUBLE))


def test_without_mixing_the_mixture_and_without_the_integral_its_rate_have_no_effect() -> None:
    for field, value, output in (("direction", "muon", 1), ("direction", "adam", 1), ("integral", False, 3)):
        rule = trained(**{field: value})
        phi = {name: numbers.clone() for name, numbers in rule.meta_parameters.items()}
        phi["output.bias"][output] += 3
        found, other = run(rule, starts(), steps=5), run(rule.with_meta_parameters(phi), starts(), steps=5)
        assert all(torch.equal(found[name], other[name]) for name in found)
        changed = run(trained().with_meta_parameters(phi), starts(), steps=5)
        assert not torch.equal(changed["wide"], run(trained(), starts(), steps=5)["wide"])


def test_the_usual_floor_and_a_higher_cap_lengthen_the_steps_of_a_matrix_that_starts_small() -> None:
    small = {"w": torch.full((1, 1, 4, 4), 1e-3, dtype=DOUBLE)}
    grads = {"w": torch.eye(4, dtype=DOUBLE)[None, None]}

    def first_step(**fields: Any) -> float:
        rule = Controller(checkpoint="random", **fields)
        state = rule.observe(rule.init(small), torch.ones(1, 1, dtype=DOUBLE), 10)
        return float(rule.update(grads, state, small)[0]["w"].abs().max())

    # 0.5/√4 in place of 0.001.
    assert first_step(floor="usual") == pytest.approx(250 * first_step())
    assert first_step(cap=3.0) == pytest.approx(first_step())


def test_without_the_loss_it_says_so() -> None:
    rule = Controller(checkpoint="random")
    params = {"w": torch.ones(1, 1, 2)}
    with pytest.raises(ValueError, match="controller needs the loss and the number of steps"):
        rule.update(params, rule.init(params), params)


def test_the_rate_settles() -> None:
    def rates(settling: float | None) -> list[float]:
        rule = trained(settling=settling)
        phi = {name: torch.zeros_like(numbers) for name, numbers in rule.meta_parameters.items()}
        phi["output.bias"][3] = 20.0
        params, found = {"w": torch.ones(1, 1, 3, dtype=DOUBLE)}, []
        own = rule.with_meta_parameters(phi)
        state = own.init(params)
        for _ in range(31):
            observed = own.observe(state, torch.ones(1, 1, dtype=DOUBLE), 100)
            _, state = own.update({"w": torch.ones_like(params["w"])}, observed, params)
            found.append(float(state["signals"]["log_rate"]))
        return found

    steady, settling = rates(None), rates(30.0)
    assert steady == pytest.approx([0.1 * (k + 1) for k in range(31)])
    assert settling[0] == pytest.approx(0.1)
    assert settling[30] - settling[29] == pytest.approx(0.05)


def test_the_rate_falls_while_the_loss_and_its_mean_are_far_above_the_first_one() -> None:
    """One high loss among low ones is noise; several, or one that lifts the mean, are a run that has left its range."""

    def rates(losses: list[float], **fields: Any) -> list[float]:
        params, found = {"w": torch.ones(1, 1, 3, dtype=DOUBLE)}, []
        rule = Controller(checkpoint="random", **fields)
        state = rule.init(params)
        for loss in losses:
            observed = rule.observe(state, torch.full((1, 1), loss, dtype=DOUBLE), 100)
            _, state = rule.update({"w": torch.ones_like(params["w"])}, observed, params)
            found.append(float(state["signals"]["log_rate"]))
        return found

    usual = [2.0] * 20
    assert rates([*usual, 20.0, 2.0, 5.9, 5.9, 5.9]) == [0.0] * 25
    # The mean over five steps is at 2 + (50 - 2) / 5 after it.
    assert rates([*usual, 50.0, 50.0, 2.0])[-3:] == pytest.approx([-0.15, -0.3, -0.3])
    assert rates([*usual, math.inf, math.nan])[-2:] == pytest.approx([-0.15, -0.3])
    assert rates([2.0, *[50.0] * 40])[-1] == -4.0
    assert rates([*usual, 50.0, 50.0], retreat=False)[-2:] == [0.0, 0.0]
